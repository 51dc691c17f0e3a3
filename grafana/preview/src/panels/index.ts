import { sceneUtils } from '@grafana/scenes';

import { barGauge, stat } from './single';
import { heatmap } from './standin/heatmap';
import { histogram } from './standin/histogram';
import { standIn } from './standin/other';
import { pieChart } from './standin/piechart';
import { table } from './table';
import { text } from './text';
import { timeSeries } from './timeseries';

const KINDS = { timeseries: timeSeries, stat, bargauge: barGauge, table, text, heatmap, histogram, piechart: pieChart };

const registered = new Set<string>();

/** Registers the kind of panel when it is first asked for, and returns its id. */
export function panelKind(type: string): string {
  if (!registered.has(type)) {
    registered.add(type);
    sceneUtils.registerRuntimePanelPlugin({ pluginId: type, plugin: KINDS[type as keyof typeof KINDS] ?? standIn(type) });
  }
  return type;
}
