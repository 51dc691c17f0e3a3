import { formattedValueToString, VizOrientation, type FieldDisplay, type PanelProps } from '@grafana/data';
import { LegendDisplayMode, SortOrder, type SingleStatBaseOptions, type VizLegendOptions } from '@grafana/schema';
import { VizLayout, VizLegend, type VizLegendItem } from '@grafana/ui';

import { NoData, StandIn } from '../parts';
import { plugin } from '../plugin';
import { REDUCE_LAST, useFieldDisplays } from '../single';

interface Options extends SingleStatBaseOptions {
  pieType: 'pie' | 'donut';
  sort: SortOrder;
  displayLabels: string[];
  legend: VizLegendOptions & { values: string[] };
}

function PieChart(props: PanelProps<Options>) {
  const { options, width, height, fieldConfig } = props;
  const values = useFieldDisplays(props)().filter(({ field, display }) => !field.custom?.hideFrom?.viz && display.numeric > 0);
  const total = values.reduce((sum, { display }) => sum + display.numeric, 0);
  if (total === 0) {
    return <NoData fieldConfig={fieldConfig} />;
  }
  if (options.sort !== SortOrder.None) {
    values.sort((a, b) => (a.display.numeric - b.display.numeric) * (options.sort === SortOrder.Ascending ? 1 : -1));
  }
  const percent = (value: number) => `${((100 * value) / total).toFixed(0)}%`;
  const items = values.map(
    ({ display }): VizLegendItem => ({
      label: display.title ?? '',
      color: display.color,
      yAxis: 1,
      getDisplayValues: () => [
        ...(options.legend.values.includes('value') ? [{ ...display, title: 'Value' }] : []),
        ...(options.legend.values.includes('percent') ? [{ numeric: display.numeric, text: percent(display.numeric), title: 'Percent' }] : []),
      ],
    })
  );
  const { showLegend, placement, displayMode } = options.legend;
  const legend = showLegend ? (
    <VizLayout.Legend placement={placement}>
      <VizLegend items={items} placement={placement} displayMode={displayMode} />
    </VizLayout.Legend>
  ) : null;
  return (
    <StandIn kind="pie chart" width={width} height={height}>
      {(width, height) => (
        <VizLayout width={width} height={height} legend={legend}>
          {(width: number, height: number) => <Slices {...{ values, total, width, height, percent, options }} />}
        </VizLayout>
      )}
    </StandIn>
  );
}

function Slices(props: {
  values: FieldDisplay[];
  total: number;
  width: number;
  height: number;
  percent: (value: number) => string;
  options: Options;
}) {
  const { values, total, width, height, percent, options } = props;
  const radius = Math.max(Math.min(width, height) / 2 - 4, 1);
  const hole = options.pieType === 'donut' ? radius * 0.6 : 0;
  const point = (part: number, distance: number) => {
    const angle = 2 * Math.PI * part;
    return [distance * Math.sin(angle), -distance * Math.cos(angle)] as const;
  };
  let before = 0;
  const slices = values.map(({ display }, index) => {
    // A whole circle cannot be one arc, for it ends where it begins.
    const [from, to] = [before / total, Math.min((before + display.numeric) / total, before / total + 0.99999)];
    before += display.numeric;
    const large = to - from > 0.5 ? 1 : 0;
    const path =
      `M${point(from, hole)}L${point(from, radius)}A${radius} ${radius} 0 ${large} 1 ${point(to, radius)}` +
      `L${point(to, hole)}A${hole} ${hole} 0 ${large} 0 ${point(from, hole)}Z`;
    const label = [
      ...(options.displayLabels.includes('name') ? [display.title] : []),
      ...(options.displayLabels.includes('value') ? [formattedValueToString(display)] : []),
      ...(options.displayLabels.includes('percent') ? [percent(display.numeric)] : []),
    ].join(' ');
    const [x, y] = point((from + to) / 2, (radius + hole) / 2 || radius / 2);
    return (
      <g key={index}>
        <path d={path} fill={display.color} />
        {to - from > 0.04 && (
          <text x={x} y={y} fill="white" fontSize={11} textAnchor="middle" dominantBaseline="middle">
            {label}
          </text>
        )}
      </g>
    );
  });
  return (
    <svg width={width} height={height} viewBox={`${-width / 2} ${-height / 2} ${width} ${height}`}>
      {slices}
    </svg>
  );
}

export const pieChart = plugin<Options>({
  component: PieChart,
  options: {
    reduceOptions: REDUCE_LAST,
    orientation: VizOrientation.Auto,
    pieType: 'pie',
    sort: SortOrder.Descending,
    displayLabels: [],
    legend: { showLegend: true, displayMode: LegendDisplayMode.List, placement: 'right', calcs: [], values: ['percent'] },
  },
  custom: { hideFrom: { legend: false, tooltip: false, viz: false } },
});
