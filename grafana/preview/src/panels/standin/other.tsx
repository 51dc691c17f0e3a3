import type { PanelProps } from '@grafana/data';

import { NoData, StandIn } from '../parts';
import { plugin } from '../plugin';
import { Table } from '../table';

/** Any other kind of panel: its data as a table. */
export function standIn(kind: string) {
  function Panel({ data, width, height, fieldConfig, timeRange }: PanelProps) {
    const [frame] = data.series;
    if (!frame) {
      return <NoData fieldConfig={fieldConfig} />;
    }
    return (
      <StandIn kind={kind} width={width} height={height}>
        {(width, height) => <Table {...{ frame, width, height, fieldConfig, timeRange }} />}
      </StandIn>
    );
  }
  return plugin({ component: Panel });
}
