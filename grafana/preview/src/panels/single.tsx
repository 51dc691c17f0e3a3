/** Panels that show one value a series: stat and bar gauge. */

import {
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  VizOrientation,
  type DisplayValueAlignmentFactors,
  type FieldDisplay,
  type PanelProps,
} from '@grafana/data';
import {
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeSizing,
  BarGaugeValueMode,
  PercentChangeColorMode,
  type SingleStatBaseOptions,
} from '@grafana/schema';
import {
  BarGauge,
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  useTheme2,
  VizRepeater,
  type VizRepeaterRenderValueProps,
} from '@grafana/ui';

import { plugin } from './plugin';

export interface StatOptions extends SingleStatBaseOptions {
  colorMode: BigValueColorMode;
  graphMode: BigValueGraphMode;
  justifyMode: BigValueJustifyMode;
  textMode: BigValueTextMode;
  wideLayout: boolean;
  percentChangeColorMode: PercentChangeColorMode;
}

interface BarGaugeOptions extends SingleStatBaseOptions {
  displayMode: BarGaugeDisplayMode;
  valueMode: BarGaugeValueMode;
  namePlacement: BarGaugeNamePlacement;
  showUnfilled: boolean;
  sizing: BarGaugeSizing;
  minVizWidth: number;
  minVizHeight: number;
  maxVizHeight: number;
}

type Rendered = VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>;

/** The values of a panel, each reduced as its options say. */
export function useFieldDisplays<Options extends SingleStatBaseOptions>(props: PanelProps<Options>, sparkline = false): () => FieldDisplay[] {
  const theme = useTheme2();
  const { data, options, fieldConfig, replaceVariables, timeZone } = props;
  return () =>
    getFieldDisplayValues({
      data: data.series,
      reduceOptions: options.reduceOptions,
      fieldConfig,
      replaceVariables,
      theme,
      timeZone,
      sparkline,
    });
}

function StatPanel(props: PanelProps<StatOptions>) {
  const theme = useTheme2();
  const { data, options, width, height, renderCounter } = props;
  const getValues = useFieldDisplays(props, options.graphMode !== BigValueGraphMode.None);
  const renderValue = ({ value, width, height, count, alignmentFactors }: Rendered) => (
    <BigValue
      value={value.display}
      count={count}
      sparkline={value.sparkline && { ...value.sparkline, timeRange: props.timeRange }}
      colorMode={options.colorMode}
      graphMode={options.graphMode}
      justifyMode={options.justifyMode}
      textMode={textMode(options.textMode, count, value, props)}
      alignmentFactors={alignmentFactors}
      text={options.text}
      width={width}
      height={height}
      theme={theme}
      disableWideLayout={!options.wideLayout}
      percentChangeColorMode={options.percentChangeColorMode}
    />
  );
  return (
    <VizRepeater
      getValues={getValues}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={renderValue}
      width={width}
      height={height}
      source={data}
      itemSpacing={3}
      renderCounter={renderCounter}
      autoGrid
      orientation={options.orientation}
    />
  );
}

/** A lone value needs no name: the title of the panel has it. */
function textMode(asked: BigValueTextMode, count: number, { field }: FieldDisplay, { fieldConfig }: PanelProps<StatOptions>) {
  if (asked !== BigValueTextMode.Auto) {
    return asked;
  }
  const named = Boolean(fieldConfig.defaults.displayName ?? field.displayName);
  return count > 1 || named ? BigValueTextMode.ValueAndName : BigValueTextMode.Value;
}

function BarGaugePanel(props: PanelProps<BarGaugeOptions>) {
  const theme = useTheme2();
  const { data, options, width, height, renderCounter } = props;
  const getValues = useFieldDisplays(props);
  const automatic = options.sizing !== BarGaugeSizing.Manual;
  const renderValue = ({ value, width, height, count, alignmentFactors, orientation }: Rendered) => (
    <BarGauge
      value={value.display}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
      text={options.text}
      width={width}
      height={height}
      orientation={orientation}
      theme={theme}
      itemSpacing={8}
      lcdCellWidth={12}
      displayMode={options.displayMode}
      alignmentFactors={count > 1 ? alignmentFactors : undefined}
      showUnfilled={options.showUnfilled}
      valueDisplayMode={options.valueMode}
      namePlacement={options.namePlacement}
    />
  );
  return (
    <VizRepeater
      getValues={getValues}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={renderValue}
      width={width}
      height={height}
      minVizWidth={automatic ? 0 : options.minVizWidth}
      minVizHeight={automatic ? 0 : options.minVizHeight}
      maxVizHeight={automatic ? 300 : options.maxVizHeight}
      source={data}
      itemSpacing={8}
      renderCounter={renderCounter}
      orientation={options.orientation}
    />
  );
}

export const REDUCE_LAST = { values: false, calcs: ['lastNotNull'], fields: '' };

export const stat = plugin<StatOptions>({
  component: StatPanel,
  colour: 'thresholds',
  options: {
    reduceOptions: REDUCE_LAST,
    orientation: VizOrientation.Auto,
    colorMode: BigValueColorMode.Value,
    graphMode: BigValueGraphMode.Area,
    justifyMode: BigValueJustifyMode.Auto,
    textMode: BigValueTextMode.Auto,
    wideLayout: true,
    percentChangeColorMode: PercentChangeColorMode.Standard,
  },
});

export const barGauge = plugin<BarGaugeOptions>({
  component: BarGaugePanel,
  colour: 'thresholds',
  options: {
    reduceOptions: REDUCE_LAST,
    orientation: VizOrientation.Auto,
    displayMode: BarGaugeDisplayMode.Gradient,
    valueMode: BarGaugeValueMode.Color,
    namePlacement: BarGaugeNamePlacement.Auto,
    showUnfilled: true,
    sizing: BarGaugeSizing.Auto,
    minVizWidth: 8,
    minVizHeight: 16,
    maxVizHeight: 300,
  },
});
