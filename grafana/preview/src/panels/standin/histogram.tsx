import { formattedValueToString, getValueFormat, type DataFrame, type PanelProps } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';

import { NoData, StandIn } from '../parts';
import { plugin } from '../plugin';
import { numericFields } from '../table';

/** Bars for buckets that the query has counted: one series a bucket, its bound in the label `le`, or else its name. */
function Histogram({ data, width, height, fieldConfig }: PanelProps) {
  const bars = bucketsOf(data.series);
  if (bars.length === 0) {
    return <NoData fieldConfig={fieldConfig} />;
  }
  return (
    <StandIn kind="histogram" width={width} height={height}>
      {(width, height) => <Bars bars={bars} width={width} height={height} unit={fieldConfig.defaults.unit} />}
    </StandIn>
  );
}

interface Bar {
  name: string;
  value: number;
}

function bucketsOf(frames: DataFrame[]): Bar[] {
  return numericFields(frames).map(({ name, labels, values }) => ({
    name: labels?.['le'] ?? name,
    value: values[values.length - 1] ?? 0,
  }));
}

function Bars({ bars, width, height, unit }: { bars: Bar[]; width: number; height: number; unit?: string }) {
  const theme = useTheme2();
  const format = getValueFormat(unit);
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  const [across, down] = [width / bars.length, height - 32];
  const every = Math.ceil(44 / across);
  return (
    <svg width={width} height={height} fontSize={11} fill={theme.colors.text.primary} textAnchor="middle">
      {bars.map(({ name, value }, index) => (
        <g key={index} transform={`translate(${index * across} 0)`}>
          <rect
            x={1}
            y={16 + down * (1 - value / most)}
            width={Math.max(across - 2, 1)}
            height={(down * value) / most}
            fill={theme.visualization.getColorByName('blue')}
          />
          {index % every === 0 && (
            <>
              <text x={across / 2} y={12 + down * (1 - value / most)}>
                {formattedValueToString(format(value))}
              </text>
              <text x={across / 2} y={height - 4}>
                {name}
              </text>
            </>
          )}
        </g>
      ))}
    </svg>
  );
}

export const histogram = plugin({ component: Histogram });
