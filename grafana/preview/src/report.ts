/** What became of a dashboard: for the program that takes the picture, and for whoever reads what it prints. */

import { LoadingState, type DataFrame } from '@grafana/data';
import {
  MultiValueVariable,
  sceneGraph,
  SceneGridRow,
  VizPanel,
  type EmbeddedScene,
  type SceneDataProvider,
  type SceneObject,
} from '@grafana/scenes';

import type { Dashboard, Panel } from './model';

export interface PanelReport {
  id: number;
  type: string;
  title: string;
  frames: number;
  rows: number;
  error?: string;
  /** Field properties that the preview does not know, and that have no effect here. */
  unknown: string[];
}

export interface Report {
  panels: PanelReport[];
  variables: Array<{ name: string; values: number; error?: string }>;
  /** What the marks in the graphs say, which Grafana shows when the pointer is on one. */
  marks: string[];
}

declare global {
  interface Window {
    /** Set when all queries are answered; `error` when there is no dashboard at all. */
    preview?: { ready: boolean; report?: Report; error?: string };
  }
}

/** Resolves when no variable and no panel waits for an answer any more. */
export async function settled(scene: EmbeddedScene): Promise<void> {
  while (!isSettled(scene)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function isSettled(scene: EmbeddedScene): boolean {
  const variables = scene.state.$variables;
  if (!scene.isActive || variables?.state.variables.some((variable) => variables.isVariableLoadingOrWaitingToUpdate(variable))) {
    return false;
  }
  return sceneGraph
    .findAllObjects(scene, (object) => object instanceof VizPanel && !isCollapsed(object))
    .every(({ state: { $data } }) => !$data || isAnswered($data));
}

export function reportOf(dashboard: Dashboard, scene: EmbeddedScene): Report {
  const byId = new Map(allPanels(dashboard.panels ?? []).map((panel) => [panel.id, panel]));
  const panels = sceneGraph.findAllObjects(scene, (object) => object instanceof VizPanel).map((object) => {
    const panel = object as VizPanel;
    const id = panel.getLegacyPanelId();
    const data = panel.state.$data?.state.data;
    const series = data?.series ?? [];
    return {
      id,
      type: panel.state.pluginId,
      title: panel.state.title,
      frames: series.length,
      rows: series.reduce((sum, { length }) => sum + length, 0),
      error: data?.errors?.map(({ message }) => message).join('; ') ?? panel.state._pluginLoadError,
      unknown: unknownProperties(panel, byId.get(id)),
    };
  });
  const variables = (scene.state.$variables?.state.variables ?? []).map((variable) => ({
    name: variable.state.name,
    values: variable instanceof MultiValueVariable ? variable.state.options.length : 1,
    error: variable.state.error ? String(variable.state.error) : undefined,
  }));
  const answers = sceneGraph.findAllObjects(scene, (object) => object instanceof VizPanel).map(({ state: { $data } }) => $data);
  const marks = answers.flatMap((provider) => (provider as SceneDataProvider | undefined)?.state.data?.annotations?.flatMap(marksOf) ?? []);
  return { panels, variables, marks: [...new Set(marks)].sort() };
}

function marksOf(frame: DataFrame): string[] {
  const values = (name: string) => frame.fields.find((field) => field.name === name)?.values ?? [];
  return values('title').map((title, row) => `${new Date(values('time')[row]).toISOString()} ${title}: ${values('text')[row]}`);
}

function isAnswered(provider: SceneDataProvider): boolean {
  const { data, $data: source } = provider.state;
  if (data?.state === LoadingState.Error) {
    return true;
  }
  // Without a request it is what there is before the first answer, which counts as done; and transformations take their time after it.
  const isOfLastRequest = data?.request !== undefined && (!source || data.request.requestId === source.state.data?.request?.requestId);
  return data?.state === LoadingState.Done && isOfLastRequest && (!source || isAnswered(source));
}

function isCollapsed(object: SceneObject): boolean {
  for (let each: SceneObject | undefined = object; each; each = each.parent) {
    if (each instanceof SceneGridRow && each.state.isCollapsed) {
      return true;
    }
  }
  return false;
}

function allPanels(panels: Panel[]): Panel[] {
  return panels.flatMap((panel) => [panel, ...allPanels(panel.panels ?? [])]);
}

function unknownProperties(panel: VizPanel, model: Panel | undefined): string[] {
  const registry = panel.getPlugin()?.fieldConfigRegistry;
  if (!registry || !model?.fieldConfig) {
    return [];
  }
  const overridden = model.fieldConfig.overrides.flatMap(({ properties }) => properties.map(({ id }) => id));
  const custom = Object.keys(model.fieldConfig.defaults.custom ?? {}).map((name) => `custom.${name}`);
  return [...new Set([...overridden, ...custom])].filter((id) => !registry.getIfExists(id));
}
