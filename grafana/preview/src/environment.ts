/** What Grafana's application sets up before its packages are used, as far as dashboards of a Prometheus need it. */

import {
  booleanOverrideProcessor,
  dataLinksOverrideProcessor,
  DataTopic,
  displayNameOverrideProcessor,
  EventBusSrv,
  FieldConfigProperty,
  FieldType,
  identityOverrideProcessor,
  LoadingState,
  locationUtil,
  numberOverrideProcessor,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
  type DataFrame,
  type DataQueryRequest,
  type DataSourceApi,
  type DataSourceInstanceSettings,
  type DataTransformerInfo,
  type FieldConfigPropertyItem,
  type GrafanaConfig,
  type PanelData,
  type UrlQueryMap,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import {
  config,
  setAppEvents,
  setDataSourceSrv,
  setPluginImportUtils,
  setRunRequest,
  setTemplateSrv,
  toDataQueryError,
  type DataSourceSrv,
} from '@grafana/runtime';
import { loadResources, registerRuntimeDataSource, sceneGraph, sceneUtils, type EmbeddedScene, type SceneObject } from '@grafana/scenes';
import { catchError, concat, from, map, of, type Observable } from 'rxjs';

import type { PrometheusDataSource } from './prometheus/datasource';

/** Must be done before anything is rendered. `shown` is the scene whose time range and variables links take along. */
export async function prepare(dataSource: PrometheusDataSource, shown: () => EmbeddedScene | undefined): Promise<void> {
  await initPluginTranslations('grafana-scenes', [loadResources]);
  standardEditorsRegistry.setInit(() => []);
  standardFieldConfigEditorRegistry.setInit(standardProperties);
  standardTransformersRegistry.setInit(transformers);

  setAppEvents(new EventBusSrv());
  setPluginImportUtils({
    importPanelPlugin: (id) => Promise.reject(new Error(`the preview has no panel ${id}`)),
    getPanelPluginFromCache: () => undefined,
  });
  setDataSourceSrv(onlyDataSource(dataSource));
  registerRuntimeDataSource({ dataSource });
  setRunRequest(runRequest);
  setTemplateSrv({
    getVariables: () => [],
    containsTemplate: (text = '') => /\$\w|\$\{/.test(text),
    updateTimeRange: () => {},
    replace(text = '', scopedVars = {}, format) {
      const scene = scopedVars['__sceneObject']?.value.valueOf() as SceneObject | undefined;
      return scene ? sceneGraph.interpolate(scene, text, scopedVars, format as string) : text;
    },
  });
  locationUtil.initialize({
    config: config as unknown as GrafanaConfig,
    getVariablesUrlParams() {
      const scene = shown();
      return scene ? (sceneUtils.getUrlState(scene) as UrlQueryMap) : {};
    },
    getTimeRangeForUrl: () => shown()?.state.$timeRange?.state.value.raw ?? { from: 'now-1h', to: 'now' },
  });
}

/** Whatever data source a dashboard names, it gets the one that there is. */
function onlyDataSource(dataSource: PrometheusDataSource): DataSourceSrv {
  const settings = {
    id: dataSource.id,
    uid: dataSource.uid,
    name: 'Prometheus',
    type: dataSource.type,
    meta: dataSource.meta,
    access: 'direct',
    readOnly: true,
    isDefault: true,
    jsonData: {},
  } satisfies DataSourceInstanceSettings;
  return {
    get: () => Promise.resolve(dataSource as DataSourceApi),
    getList: ({ pluginId } = {}) => (pluginId === undefined || pluginId === dataSource.type ? [settings] : []),
    getInstanceSettings: () => settings,
    reload: () => Promise.resolve(),
    registerRuntimeDataSource: () => {},
  };
}

function runRequest(dataSource: DataSourceApi, request: DataQueryRequest, query = dataSource.query): Observable<PanelData> {
  const answer = (state: LoadingState, rest: Partial<PanelData>): PanelData => ({ series: [], timeRange: request.range, request, state, ...rest });
  return concat(
    of(answer(LoadingState.Loading, {})),
    from(query.call(dataSource, request) as Observable<{ data: DataFrame[] }>).pipe(
      map(({ data }) => {
        const isAnnotation = (frame: DataFrame) => frame.meta?.dataTopic === DataTopic.Annotations;
        return answer(LoadingState.Done, {
          series: data.filter((frame) => !isAnnotation(frame)),
          annotations: data.filter(isAnnotation),
        });
      }),
      catchError((cause) => {
        const error = toDataQueryError(cause);
        return of(answer(LoadingState.Error, { error, errors: [error] }));
      })
    )
  );
}

function transformers() {
  const all = Object.values(standardTransformers) as DataTransformerInfo[];
  // Some are there twice.
  return [...new Map(all.map((transformation) => [transformation.id, transformation])).values()].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: () => Promise.resolve(transformation),
    defaultOptions: transformation.defaultOptions,
    editor: () => null,
    imageDark: '',
    imageLight: '',
  }));
}

/** The properties that every field has; what edits them is not needed, only how their values are read. */
function standardProperties(): FieldConfigPropertyItem[] {
  const property = (
    id: string,
    process: FieldConfigPropertyItem['process'],
    settings: object = {},
    shouldApply: FieldConfigPropertyItem['shouldApply'] = () => true
  ): FieldConfigPropertyItem => ({ id, path: id, name: id, editor: () => null, override: () => null, process, settings, shouldApply });
  const numeric: FieldConfigPropertyItem['shouldApply'] = ({ type }) => type === FieldType.number;
  return [
    property(FieldConfigProperty.DisplayName, displayNameOverrideProcessor, { expandTemplateVars: true }),
    property(FieldConfigProperty.Unit, unitOverrideProcessor),
    property(FieldConfigProperty.Min, numberOverrideProcessor, {}, numeric),
    property(FieldConfigProperty.Max, numberOverrideProcessor, {}, numeric),
    property(FieldConfigProperty.FieldMinMax, booleanOverrideProcessor, {}, numeric),
    property(FieldConfigProperty.Decimals, numberOverrideProcessor, { min: 0, max: 15, integer: true }, numeric),
    property(FieldConfigProperty.NoValue, stringOverrideProcessor),
    property(FieldConfigProperty.Thresholds, thresholdsOverrideProcessor),
    property(FieldConfigProperty.Mappings, valueMappingsOverrideProcessor),
    property(FieldConfigProperty.Links, dataLinksOverrideProcessor),
    property(FieldConfigProperty.Actions, identityOverrideProcessor),
    property(FieldConfigProperty.Color, identityOverrideProcessor),
    property(FieldConfigProperty.Filterable, booleanOverrideProcessor),
    property('description', stringOverrideProcessor),
  ];
}
