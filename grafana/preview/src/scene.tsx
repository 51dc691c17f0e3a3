/** A dashboard's classic JSON as a scene. */

import type { DataSourceRef, VariableHide } from '@grafana/data';
import {
  ConstantVariable,
  CustomVariable,
  dataLayers,
  DataSourceVariable,
  EmbeddedScene,
  IntervalVariable,
  QueryVariable,
  SceneDataLayerSet,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneQueryRunner,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  TextBoxVariable,
  VariableValueSelectors,
  VizPanel,
  type SceneVariable,
} from '@grafana/scenes';

import type { Dashboard, GridPos, Panel, Variable } from './model';
import { panelKind } from './panels';
import { PanelLinks } from './links';
import { DATA_SOURCE } from './prometheus/datasource';

export interface Choices {
  from?: string;
  to?: string;
  /** By the name of the variable; what is not here is as the dashboard says. */
  variables: ReadonlyMap<string, string[]>;
  /** Leaves collapsed rows collapsed. */
  collapsed: boolean;
}

export function toScene(dashboard: Dashboard, choices: Choices): EmbeddedScene {
  const annotations = (dashboard.annotations?.list ?? []).filter(({ builtIn, enable }) => !builtIn && enable !== false);
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({
      from: choices.from ?? dashboard.time?.from ?? 'now-6h',
      to: choices.to ?? dashboard.time?.to ?? 'now',
      timeZone: dashboard.timezone === 'browser' ? 'utc' : dashboard.timezone || 'utc',
    }),
    $variables: new SceneVariableSet({
      variables: (dashboard.templating?.list ?? []).map((each) => toVariable(each, choices.variables.get(each.name))),
    }),
    $data: new SceneDataLayerSet({
      layers: annotations.map(
        (query) => new dataLayers.AnnotationsDataLayer({ key: `annotations-${query.name}`, name: query.name, query, isHidden: true })
      ),
    }),
    controls: [new VariableValueSelectors({}), new SceneTimePicker({ isOnCanvas: true })],
    body: new SceneGridLayout({ isLazy: false, children: toRows(dashboard.panels ?? [], choices.collapsed) }),
  });
}

function toVariable(variable: Variable, chosen: string[] | undefined): SceneVariable {
  const { name, label, description, current, multi: isMulti, includeAll, allValue } = variable;
  const chosenValue = chosen && (isMulti ? chosen : chosen[0]);
  const value = chosenValue ?? current?.value ?? (includeAll ? '$__all' : '');
  const common = { name, label, description, hide: variable.hide as VariableHide };
  const many = { ...common, value, text: chosenValue ?? current?.text ?? '', isMulti, includeAll, allValue };
  const query = typeof variable.query === 'string' ? variable.query : (variable.query?.query ?? '');
  switch (variable.type) {
    case 'query':
      return new QueryVariable({
        ...many,
        query,
        datasource: variable.datasource ?? DATA_SOURCE,
        regex: variable.regex ?? '',
        regexApplyTo: variable.regexApplyTo ?? 'value',
        sort: variable.sort ?? 0,
      });
    case 'datasource':
      return new DataSourceVariable({ ...common, value: DATA_SOURCE.uid, text: 'Prometheus', pluginId: query });
    case 'custom':
      return new CustomVariable({ ...many, query });
    case 'interval':
      return new IntervalVariable({ ...common, value: String(value), intervals: query.split(',').map((each) => each.trim()) });
    case 'constant':
      return new ConstantVariable({ ...common, value: query });
    case 'textbox':
      return new TextBoxVariable({ ...common, value: String(value || query) });
    default:
      throw new Error(`the preview does not know the variable ${name} of type ${variable.type}`);
  }
}

/** The panels in rows, as Grafana has them: what follows a row that is open belongs to it, until the next row. */
function toRows(panels: Panel[], keepCollapsed: boolean): Array<SceneGridItem | SceneGridRow> {
  const children: Array<SceneGridItem | SceneGridRow> = [];
  let open: SceneGridItem[] | undefined;
  let pushedDown = 0;
  for (const panel of panels) {
    const at = { ...panel.gridPos, y: panel.gridPos.y + pushedDown };
    if (panel.type !== 'row') {
      (open ?? children).push(toItem(panel, at));
      continue;
    }
    const inside = panel.panels ?? [];
    const isCollapsed = keepCollapsed && panel.collapsed === true;
    // The panels of a collapsed row are where they would be if it were open, and what follows the row is not.
    const items = inside.map((each) => toItem(each, { ...each.gridPos, y: each.gridPos.y + pushedDown }));
    if (panel.collapsed && !isCollapsed) {
      const bottom = Math.max(...inside.map(({ gridPos }) => gridPos.y + gridPos.h), panel.gridPos.y + 1);
      pushedDown += bottom - (panel.gridPos.y + 1);
    }
    const row = new SceneGridRow({ title: panel.title ?? '', y: at.y, isCollapsed, children: items });
    children.push(row);
    open = panel.collapsed ? undefined : items;
  }
  return children;
}

function toItem(panel: Panel, { x, y, w, h }: GridPos): SceneGridItem {
  if (panel.repeat) {
    throw new Error(`the preview does not repeat panels: ${panel.id}, ${panel.title}`);
  }
  return new SceneGridItem({ key: `item-${panel.id}`, x, y, width: w, height: h, body: toPanel(panel) });
}

function toPanel(panel: Panel): VizPanel {
  const queries = panel.targets ?? [];
  return new VizPanel({
    key: `panel-${panel.id}`,
    title: panel.title ?? '',
    description: panel.description,
    pluginId: panelKind(panel.type),
    displayMode: panel.transparent ? 'transparent' : 'default',
    hoverHeader: !panel.title,
    options: panel.options ?? {},
    fieldConfig: panel.fieldConfig ?? { defaults: {}, overrides: [] },
    titleItems: panel.links?.length ? <PanelLinks links={panel.links} /> : undefined,
    $timeRange: panel.timeFrom ? new SceneTimeRange({ from: `now-${panel.timeFrom}`, to: 'now', timeZone: 'utc' }) : undefined,
    $data:
      queries.length === 0
        ? undefined
        : new SceneDataTransformer({
            transformations: panel.transformations ?? [],
            $data: new SceneQueryRunner({
              queries,
              datasource: panel.datasource ?? (queries[0]?.datasource as DataSourceRef | undefined) ?? DATA_SOURCE,
              minInterval: panel.interval,
              maxDataPoints: panel.maxDataPoints,
              maxDataPointsFromWidth: true,
            }),
          }),
  });
}
