import { cacheFieldDisplayNames, FieldType, type DataFrame, type FieldConfigSource, type PanelProps, type TimeRange } from '@grafana/data';
import { TableCellDisplayMode, TableCellHeight, type TableSortByFieldState } from '@grafana/schema';
import { TableNG } from '@grafana/ui/unstable';

import { NoData } from './parts';
import { plugin } from './plugin';

interface Options {
  frameIndex: number;
  showHeader: boolean;
  cellHeight: TableCellHeight;
  sortBy?: TableSortByFieldState[];
  frozenColumns?: { left?: number };
  enablePagination?: boolean;
}

function TablePanel({ data, options, width, height, fieldConfig, timeRange }: PanelProps<Options>) {
  const frame = data.series[options.frameIndex] ?? data.series[0];
  if (!frame || frame.fields.length === 0 || frame.length === 0) {
    return <NoData fieldConfig={fieldConfig} />;
  }
  return <Table {...{ frame, width, height, options, fieldConfig, timeRange }} structureRev={data.structureRev} />;
}

/** A frame as Grafana's table. */
export function Table(props: {
  frame: DataFrame;
  width: number;
  height: number;
  options?: Partial<Options>;
  fieldConfig: FieldConfigSource;
  timeRange: TimeRange;
  structureRev?: number;
}) {
  const { frame, width, height, options, fieldConfig, timeRange, structureRev } = props;
  // The table reads the names of its columns where this writes them.
  cacheFieldDisplayNames([frame]);
  return (
    <TableNG
      data={frame}
      width={width}
      height={height}
      noHeader={options?.showHeader === false}
      cellHeight={options?.cellHeight}
      sortBy={options?.sortBy}
      frozenColumns={options?.frozenColumns?.left}
      enablePagination={options?.enablePagination}
      fieldConfig={fieldConfig}
      noValue={fieldConfig.defaults.noValue}
      timeRange={timeRange}
      structureRev={structureRev}
      resizable={false}
    />
  );
}

export const CELL_DEFAULTS = {
  align: 'auto',
  cellOptions: { type: TableCellDisplayMode.Auto },
  inspect: false,
  filterable: undefined,
  width: undefined,
  minWidth: undefined,
  wrapText: undefined,
  wrapHeaderText: undefined,
  hidden: undefined,
  hideHeader: undefined,
  footer: undefined,
  tooltip: undefined,
  styleField: undefined,
  hideFrom: { viz: false },
};

export const table = plugin<Options>({
  component: TablePanel,
  colour: 'thresholds',
  options: { frameIndex: 0, showHeader: true, cellHeight: TableCellHeight.Sm },
  custom: CELL_DEFAULTS,
});

/** The numeric fields of frames. */
export function numericFields(frames: DataFrame[]) {
  return frames.flatMap(({ fields }) => fields.filter(({ type }) => type === FieldType.number));
}
