import { colorManipulator, FieldType, getValueFormat, formattedValueToString, type DataFrame, type Field, type GrafanaTheme2, type PanelProps } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import { useLayoutEffect, useRef } from 'react';

import { NoData, StandIn } from '../parts';
import { plugin } from '../plugin';

interface Options {
  calculate: boolean;
  color: { mode: 'scheme' | 'opacity'; scheme: string; fill: string; exponent: number; reverse: boolean };
  yAxis: { unit?: string; decimals?: number };
}

/** Buckets that the query has counted; nothing is calculated here. */
function Heatmap({ data, options, width, height, fieldConfig, timeRange, timeZone }: PanelProps<Options>) {
  const frame = data.series.find(({ length }) => length > 0);
  const time = frame?.fields.find(({ type }) => type === FieldType.time);
  if (!frame || !time || options.calculate) {
    return <NoData fieldConfig={fieldConfig} />;
  }
  const buckets = frame.fields.filter(({ type }) => type === FieldType.number);
  const points = (data.annotations ?? []).filter((each) => each.meta?.custom?.['resultType'] === 'exemplar');
  return (
    <StandIn kind="heat map" width={width} height={height}>
      {(width, height) => (
        <Cells
          {...{ time, buckets, points, options, width, height, timeZone }}
          from={timeRange.from.valueOf()}
          to={timeRange.to.valueOf()}
          unit={options.yAxis.unit ?? fieldConfig.defaults.unit}
        />
      )}
    </StandIn>
  );
}

interface CellsProps {
  time: Field;
  buckets: Field[];
  points: DataFrame[];
  options: Options;
  width: number;
  height: number;
  from: number;
  to: number;
  timeZone: string;
  unit?: string;
}

const LEFT = 64;
const BOTTOM = 20;
/** Milliseconds that may be between two times on the axis. */
const TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440].map((minutes) => minutes * 60_000);

function Cells(props: CellsProps) {
  const theme = useTheme2();
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = props;
  useLayoutEffect(() => {
    const element = canvas.current;
    const context = element?.getContext('2d');
    if (element && context) {
      element.width = width * devicePixelRatio;
      element.height = height * devicePixelRatio;
      context.scale(devicePixelRatio, devicePixelRatio);
      draw(context, props, theme);
    }
  });
  return <canvas ref={canvas} style={{ width, height, display: 'block' }} />;
}

function draw(context: CanvasRenderingContext2D, props: CellsProps, theme: GrafanaTheme2) {
  const { time, buckets, points, options, width, height, from, to, unit, timeZone } = props;
  const [across, down] = [width - LEFT, height - BOTTOM - 4];
  const x = (at: number) => LEFT + ((at - from) / (to - from)) * across;
  const row = down / buckets.length;
  const top = (bucket: number) => 4 + down - (bucket + 1) * row;
  const most = Math.max(...buckets.flatMap(({ values }) => values.filter(Number.isFinite)), 0);
  const step = time.config.interval ?? 60_000;

  buckets.forEach(({ values }, bucket) => {
    for (let at = 0; at < values.length; at++) {
      if (values[at] > 0) {
        const left = Math.max(x(time.values[at] - step), LEFT);
        context.fillStyle = colour(values[at] / most, options, theme);
        context.fillRect(left, top(bucket), Math.max(x(time.values[at]) - left - 1, 1), Math.max(row - 1, 1));
      }
    }
  });

  // A bucket holds the values up to its bound, so that the bound is its upper edge.
  context.font = `12px ${theme.typography.fontFamily}`;
  context.fillStyle = theme.colors.text.primary;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const format = getValueFormat(unit);
  const every = Math.max(1, Math.ceil(16 / row));
  for (let bucket = 0; bucket < buckets.length; bucket += every) {
    const bound = Number.parseFloat((buckets[bucket]?.name ?? '').replace('+Inf', 'Infinity'));
    context.fillText(Number.isFinite(bound) ? formattedValueToString(format(bound, options.yAxis.decimals)) : '+Inf', LEFT - 6, Math.max(top(bucket), 8));
  }
  context.textAlign = 'center';
  const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: timeZone === 'browser' ? undefined : 'UTC' });
  const between = TICKS.find((each) => (each / (to - from)) * across >= 80) ?? to - from;
  for (let at = Math.ceil(from / between) * between; at <= to; at += between) {
    context.fillText(clock.format(at), Math.min(x(at), width - 20), height - BOTTOM / 2);
  }

  context.fillStyle = theme.visualization.getColorByName('orange');
  for (const frame of points) {
    const [times, values] = ['Time', 'Value'].map((name) => frame.fields.find((field) => field.name === name)?.values ?? []);
    times?.forEach((at, index) => {
      const bucket = buckets.findIndex(({ name }) => values?.[index] <= Number.parseFloat(name.replace('+Inf', 'Infinity')));
      if (at >= from && at <= to && bucket >= 0) {
        context.fillRect(x(at) - 2, top(bucket) + row / 2 - 2, 4, 4);
      }
    });
  }
}

/** From the colour of the panel to a colour that stands out from it: what is more is further from the panel. */
function colour(part: number, { color }: Options, theme: GrafanaTheme2): string {
  const weight = Math.pow(part, color.exponent || 0.5);
  const strong = color.mode === 'opacity' ? theme.visualization.getColorByName(color.fill) : theme.isDark ? '#A6CEE3' : '#08306B';
  return colorManipulator.alpha(strong, 0.1 + 0.9 * weight);
}

export const heatmap = plugin<Options>({
  component: Heatmap,
  options: {
    calculate: false,
    color: { mode: 'scheme', scheme: 'Oranges', fill: 'dark-orange', exponent: 0.5, reverse: false },
    yAxis: {},
  },
  custom: { hideFrom: { legend: false, tooltip: false, viz: false }, scaleDistribution: { type: 'linear' } },
});
