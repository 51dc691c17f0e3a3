import { cacheFieldDisplayNames, colorManipulator, FieldType, type DataFrame, type GrafanaTheme2, type PanelProps } from '@grafana/data';
import { LegendDisplayMode, type VizLegendOptions } from '@grafana/schema';
import { DEFAULT_ANNOTATION_COLOR, TimeSeries, useTheme2, type UPlotConfigBuilder } from '@grafana/ui';
import { useEffect, useLayoutEffect, useRef } from 'react';
import type uPlot from 'uplot';

import { NoData } from './parts';
import { plugin } from './plugin';

interface Options {
  legend: VizLegendOptions;
}

function TimeSeriesPanel({ data, options, width, height, timeRange, timeZone, fieldConfig }: PanelProps<Options>) {
  const frames = data.series.filter((frame) => frame.length > 0 && frame.fields.some(({ type }) => type === FieldType.number));
  if (frames.length === 0) {
    return <NoData fieldConfig={fieldConfig} />;
  }
  // Colours by name need the names.
  cacheFieldDisplayNames(frames);
  const marks = data.annotations ?? [];
  return (
    <TimeSeries
      frames={frames}
      structureRev={data.structureRev}
      timeRange={timeRange}
      timeZone={timeZone}
      width={width}
      height={height}
      legend={options.legend}
      options={options}
    >
      {(config) => <Marks config={config} frames={marks} />}
    </TimeSeries>
  );
}

/** What is drawn over a graph: where an alert fired, and exemplars. */
function Marks({ config, frames }: { config: UPlotConfigBuilder; frames: DataFrame[] }) {
  const theme = useTheme2();
  const plot = useRef<uPlot>(undefined);
  const shown = useRef(frames);
  // Hooks cannot be taken back, so that there is one for each plot. It is made after the layout effects of what is in it.
  useLayoutEffect(() => {
    config.addHook('init', (made) => {
      plot.current = made;
    });
    config.addHook('draw', (drawn) => {
      for (const frame of shown.current) {
        const draw = frame.meta?.custom?.['resultType'] === 'exemplar' ? drawExemplars : drawEvents;
        drawn.ctx.save();
        draw(drawn, frame, theme);
        drawn.ctx.restore();
      }
    });
  }, [config, theme]);
  // What marks there are is known after the first drawing.
  useEffect(() => {
    shown.current = frames;
    plot.current?.redraw(false);
  }, [frames]);
  return null;
}

/** A span across the graph and a bar of its colour below, or a line and an arrow where it begins and ends at once. */
function drawEvents(plot: uPlot, frame: DataFrame, theme: GrafanaTheme2) {
  const { ctx, bbox } = plot;
  const bar = 5 * devicePixelRatio;
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + bar);
  ctx.clip();
  ctx.setLineDash([5, 5]);
  for (let row = 0; row < frame.length; row++) {
    const start: number = valuesOf(frame, 'time')[row];
    const end: number = valuesOf(frame, 'timeEnd')[row] ?? start;
    const colour = theme.visualization.getColorByName(valuesOf(frame, 'color')[row] ?? DEFAULT_ANNOTATION_COLOR);
    const [left, right] = [plot.valToPos(start, 'x', true), plot.valToPos(end, 'x', true)];
    ctx.fillStyle = colorManipulator.alpha(colour, 0.1);
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.fillStyle = colour;
    if (right > left) {
      ctx.fillRect(left, bbox.top + bbox.height, right - left, bar);
    } else {
      ctx.beginPath();
      ctx.moveTo(left, bbox.top + bbox.height);
      ctx.lineTo(left + bar, bbox.top + bbox.height + bar);
      ctx.lineTo(left - bar, bbox.top + bbox.height + bar);
      ctx.fill();
    }
    ctx.strokeStyle = colour;
    for (const x of new Set([left, right])) {
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
  }
  if (SHOWS_TEXTS) {
    for (let row = 0; row < frame.length; row++) {
      const at = plot.valToPos(valuesOf(frame, 'time')[row], 'x', true);
      drawText(plot, at, row, [valuesOf(frame, 'title')[row], valuesOf(frame, 'text')[row]], theme);
    }
  }
}

/** Grafana shows what a mark says when the pointer is on it; a picture has no pointer. */
const SHOWS_TEXTS = new URLSearchParams(location.search).has('mark_texts');

/** A box beside the mark, left of it where the right side is too narrow; those of several marks stand one below the other. */
function drawText({ ctx, bbox }: uPlot, at: number, row: number, lines: string[], theme: GrafanaTheme2) {
  const [size, space] = [12 * devicePixelRatio, 6 * devicePixelRatio];
  ctx.font = `${size}px ${theme.typography.fontFamily}`;
  const width = Math.max(...lines.map((line) => ctx.measureText(line).width)) + 2 * space;
  const height = lines.length * (size + space) + space;
  const left = at + space + width <= bbox.left + bbox.width ? at + space : Math.max(at - space - width, bbox.left);
  const top = bbox.top + space + row * (height + space);
  ctx.fillStyle = theme.colors.background.elevated;
  ctx.fillRect(left, top, width, height);
  ctx.textAlign = 'left';
  ctx.textBaseline = 'top';
  lines.forEach((line, index) => {
    ctx.fillStyle = index === 0 ? theme.colors.text.secondary : theme.colors.text.primary;
    ctx.fillText(line, left + space, top + space + index * (size + space));
  });
}

/** Diamonds at their values, and at the edge of the graph where they are outside of it. */
function drawExemplars(plot: uPlot, frame: DataFrame, theme: GrafanaTheme2) {
  const { ctx, bbox } = plot;
  const scale = plot.series[1]?.scale;
  if (!scale) {
    return;
  }
  const radius = 3.5 * devicePixelRatio;
  ctx.fillStyle = theme.colors.primary.text;
  for (let row = 0; row < frame.length; row++) {
    const x = plot.valToPos(valuesOf(frame, 'Time')[row], 'x', true);
    const y = Math.min(Math.max(plot.valToPos(valuesOf(frame, 'Value')[row], scale, true), bbox.top), bbox.top + bbox.height);
    if (x >= bbox.left && x <= bbox.left + bbox.width) {
      ctx.beginPath();
      ctx.moveTo(x, y - radius);
      ctx.lineTo(x + radius, y);
      ctx.lineTo(x, y + radius);
      ctx.lineTo(x - radius, y);
      ctx.fill();
    }
  }
}

function valuesOf(frame: DataFrame, name: string) {
  return frame.fields.find((field) => field.name === name)?.values ?? [];
}

export const timeSeries = plugin<Options>({
  component: TimeSeriesPanel,
  options: { legend: { showLegend: true, displayMode: LegendDisplayMode.List, placement: 'bottom', calcs: [] } },
  custom: {
    drawStyle: 'line',
    lineInterpolation: 'linear',
    barAlignment: 0,
    barWidthFactor: 0.6,
    lineWidth: 1,
    lineColor: undefined,
    lineStyle: undefined,
    fillOpacity: 0,
    fillColor: undefined,
    fillBelowTo: undefined,
    gradientMode: 'none',
    showPoints: 'auto',
    showValues: false,
    pointSize: 5,
    pointColor: undefined,
    spanNulls: false,
    insertNulls: false,
    stacking: { mode: 'none', group: 'A' },
    transform: undefined,
    thresholdsStyle: { mode: 'off' },
    axisPlacement: 'auto',
    axisLabel: '',
    axisWidth: undefined,
    axisColorMode: 'text',
    axisBorderShow: false,
    axisGridShow: undefined,
    axisCenteredZero: false,
    axisSoftMin: undefined,
    axisSoftMax: undefined,
    scaleDistribution: { type: 'linear' },
    hideFrom: { legend: false, tooltip: false, viz: false },
  },
});
