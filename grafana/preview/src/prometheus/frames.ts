import { createDataFrame, DataTopic, FieldType, type DataFrame } from '@grafana/data';

import type { Exemplars, Labels, Series } from './api';

/** One frame a series, as a graph wants them. `step` in seconds lets the graph see what is missing. */
export function seriesFrames(series: Series[], refId: string, expr: string, legend: string | undefined, step?: number): DataFrame[] {
  return series.map(({ metric, values }) => {
    const displayNameFromDS = legendOf(metric, expr, legend);
    return createDataFrame({
      refId,
      name: displayNameFromDS,
      fields: [
        {
          name: 'Time',
          type: FieldType.time,
          values: values.map(([time]) => time * 1000),
          config: step ? { interval: step * 1000 } : {},
        },
        {
          name: 'Value',
          type: FieldType.number,
          values: values.map(([, value]) => number(value)),
          labels: metric,
          config: displayNameFromDS ? { displayNameFromDS } : {},
        },
      ],
    });
  });
}

/** One frame for all series: the time, a column for each label, and the value. */
export function tableFrame(series: Series[], refId: string, valueName: string): DataFrame {
  const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const rows = series.flatMap(({ metric, values }) => values.map(([time, value]) => ({ metric, time: time * 1000, value: number(value) })));
  return createDataFrame({
    refId,
    meta: { preferredVisualisationType: 'table' },
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map(({ time }) => time), config: {} },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: rows.map(({ metric }) => metric[label] ?? ''),
        config: { filterable: true },
      })),
      { name: valueName, type: FieldType.number, values: rows.map(({ value }) => value), config: {} },
    ],
  });
}

/** One frame with a column for each bucket, lowest first, each holding only what is in that bucket and not in a lower one. */
export function heatmapFrames(series: Series[], refId: string, step: number): DataFrame[] {
  const bounded = series
    .filter(({ metric }) => metric['le'] !== undefined)
    .sort((a, b) => number(a.metric['le'] ?? '') - number(b.metric['le'] ?? ''));
  const times = [...new Set(bounded.flatMap(({ values }) => values.map(([time]) => time)))].sort((a, b) => a - b);
  const columns = bounded.map(({ values }) => {
    const byTime = new Map(values);
    return times.map((time) => (byTime.has(time) ? number(byTime.get(time) ?? '') : null));
  });
  return [
    createDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: times.map((time) => time * 1000), config: { interval: step * 1000 } },
        ...bounded.map(({ metric }, index) => ({
          name: metric['le'] ?? '',
          type: FieldType.number,
          labels: metric,
          config: {},
          values: (columns[index] ?? []).map((value, at) => (value === null ? null : Math.max(0, value - (columns[index - 1]?.[at] ?? 0)))),
        })),
      ],
    }),
  ];
}

/** The exemplars of a query: of those within one step the one with the highest value, so that their marks do not cover each other. */
export function exemplarFrame(found: Exemplars[], refId: string, step: number): DataFrame {
  type Point = { time: number; value: number; labels: Labels };
  const highest = new Map<number, Point>();
  for (const { seriesLabels, exemplars } of found) {
    for (const { labels, value, timestamp } of exemplars) {
      const slot = Math.floor(timestamp / step);
      const point = { time: timestamp * 1000, value: number(value), labels: { ...seriesLabels, ...labels } };
      if (point.value > (highest.get(slot)?.value ?? -Infinity)) {
        highest.set(slot, point);
      }
    }
  }
  const points = [...highest.values()].sort((a, b) => a.time - b.time);
  const labels = [...new Set(points.flatMap((point) => Object.keys(point.labels)))];
  return createDataFrame({
    refId,
    name: 'exemplar',
    meta: { dataTopic: DataTopic.Annotations, custom: { resultType: 'exemplar' } },
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(({ time }) => time), config: {} },
      { name: 'Value', type: FieldType.number, values: points.map(({ value }) => value), config: {} },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: points.map((point) => point.labels[label] ?? ''),
        config: {},
      })),
    ],
  });
}

function number(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number.parseFloat(text);
}

/** The legend of a series; none where Grafana makes it of what the series do not have in common. */
function legendOf(metric: Labels, expr: string, legend: string | undefined): string | undefined {
  if (legend === '__auto') {
    return Object.keys(metric).length === 0 ? expr : undefined;
  }
  if (legend) {
    return legend.replace(/\{\{\s*([^}]+?)\s*\}\}/g, (_, label: string) => metric[label] ?? '');
  }
  const { __name__: name = '', ...labels } = metric;
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return pairs.length > 0 ? `${name}{${pairs.join(', ')}}` : name || expr;
}
