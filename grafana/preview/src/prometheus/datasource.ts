import {
  DataTopic,
  FieldType,
  type AnnotationEvent,
  type AnnotationQuery,
  type DataFrame,
  type DataQuery,
  type DataQueryRequest,
  type DataQueryResponse,
  type MetricFindValue,
  type ScopedVars,
  type TimeRange,
} from '@grafana/data';
import { RuntimeDataSource, sceneGraph, type SceneObject } from '@grafana/scenes';
import { from, of, type Observable } from 'rxjs';

import { PrometheusApi, type Series, type Span } from './api';
import { exemplarFrame, heatmapFrames, seriesFrames, tableFrame } from './frames';
import { steps } from './interval';

export interface PrometheusQuery extends DataQuery {
  expr?: string;
  legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
  /** The minimum step. */
  interval?: string;
}

type AnnotationFields = AnnotationQuery<PrometheusQuery> & {
  expr?: string;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
  step?: string;
};

interface Variable {
  multi?: boolean;
  includeAll?: boolean;
}

export const DATA_SOURCE = { type: 'prometheus', uid: 'prometheus' } as const;

/** A Prometheus as a data source of Grafana's scenes: the queries of dashboards, of their variables and of their annotations. */
export class PrometheusDataSource extends RuntimeDataSource<PrometheusQuery> {
  private readonly api: PrometheusApi;

  /** `scrapeInterval` is what the data source's settings in Grafana call by that name. */
  constructor(root: string, private readonly scrapeInterval: string) {
    super(DATA_SOURCE.type, DATA_SOURCE.uid);
    this.api = new PrometheusApi(root);
    this.interval = scrapeInterval;
    this.annotations = {
      prepareQuery: (anno) => {
        const annotation = anno as AnnotationFields;
        const expr = annotation.target?.expr ?? annotation.expr;
        return expr ? { refId: 'Anno', expr, range: true, interval: annotation.step || annotation.target?.interval || '60s' } : undefined;
      },
      processEvents: (anno, frames) => of(annotationEvents(anno as AnnotationFields, frames)),
    };
  }

  override filterQuery(query: PrometheusQuery): boolean {
    return !query.hide && Boolean(query.expr);
  }

  override query(request: DataQueryRequest<PrometheusQuery>): Observable<DataQueryResponse> {
    const targets = request.targets.filter((target) => this.filterQuery(target));
    const tables = targets.filter(({ format }) => format === 'table').length;
    return from(
      Promise.all(targets.map((target) => this.run(target, request, tables > 1 ? `Value #${target.refId}` : 'Value'))).then((answers) => ({
        data: answers.flat(),
      }))
    );
  }

  private async run(query: PrometheusQuery, request: DataQueryRequest, valueName: string): Promise<DataFrame[]> {
    const { refId, legendFormat, format } = query;
    const replace = (text: string) => interpolate(text, request.scopedVars);
    const minimum = query.interval && replace(query.interval);
    const { step, rateInterval } = steps(
      request.range,
      request.maxDataPoints ?? 1000,
      request.intervalMs / 1000,
      minimum,
      this.scrapeInterval
    );
    const expr = interpolate(query.expr ?? '', {
      ...request.scopedVars,
      ...rangeVariables(request.range),
      __interval: variable(`${step}s`),
      __interval_ms: variable(String(step * 1000)),
      __rate_interval: variable(`${rateInterval}s`),
      __rate_interval_ms: variable(String(rateInterval * 1000)),
    });
    const legend = legendFormat && replace(legendFormat);
    // Grafana asks for multiples of the step, so that points do not wander while a dashboard refreshes.
    const whole = spanOf(request.range);
    const span = { start: Math.floor(whole.start / step) * step, end: Math.floor(whole.end / step) * step };

    const frames = (series: Series[], isRange: boolean) => {
      if (format === 'table') {
        return series.length > 0 ? [tableFrame(series, refId, valueName)] : [];
      }
      if (format === 'heatmap' && isRange) {
        return series.length > 0 ? heatmapFrames(series, refId, step) : [];
      }
      return seriesFrames(series, refId, expr, legend, isRange ? step : undefined);
    };
    const asked: Array<Promise<DataFrame[]>> = [];
    if (query.range || !query.instant) {
      asked.push(this.api.range(expr, span, step).then((series) => frames(series, true)));
    }
    if (query.instant) {
      asked.push(this.api.instant(expr, whole.end).then((series) => frames(series, false)));
    }
    if (query.exemplar) {
      asked.push(this.api.exemplars(expr, span).then((found) => [exemplarFrame(found, refId, step)]));
    }
    return (await Promise.all(asked)).flat();
  }

  override async metricFindQuery(query: unknown, options: { range?: TimeRange; scopedVars?: ScopedVars }): Promise<MetricFindValue[]> {
    const definition = typeof query === 'string' ? query : String((query as { query?: unknown }).query ?? '');
    if (!options.range) {
      throw new Error('a variable without a time range');
    }
    const span = spanOf(options.range);
    const text = interpolate(definition, { ...options.scopedVars, ...rangeVariables(options.range) }).trim();
    const values = /^label_values\((?:(?<match>.+),\s*)?(?<label>[A-Za-z_]\w*)\s*\)$/s.exec(text)?.groups;
    if (values?.['label']) {
      return toText(await this.api.labelValues(values['label'], span, values['match']?.trim()));
    }
    const names = /^label_names\((?<match>.*)\)$/s.exec(text)?.groups;
    if (names) {
      return toText(await this.api.labelNames(span, names['match'] || undefined));
    }
    const metrics = /^metrics\((?<pattern>.*)\)$/s.exec(text)?.groups;
    if (metrics) {
      const pattern = new RegExp(metrics['pattern'] ?? '');
      return toText((await this.api.labelValues('__name__', span)).filter((name) => pattern.test(name)));
    }
    const result = /^query_result\((?<expr>.+)\)$/s.exec(text)?.groups;
    if (result?.['expr']) {
      const series = await this.api.instant(result['expr'], span.end);
      return toText(
        series.map(({ metric: { __name__: name = '', ...labels }, values: [sample] }) => {
          const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
          return `${name}{${pairs.join(',')}} ${sample?.[1] ?? ''} ${(sample?.[0] ?? 0) * 1000}`;
        })
      );
    }
    throw new Error(`the preview does not know the variable query ${definition}`);
  }
}

function toText(values: string[]): MetricFindValue[] {
  return values.map((text) => ({ text, expandable: false }));
}

function spanOf(range: TimeRange): Span {
  return { start: range.from.valueOf() / 1000, end: range.to.valueOf() / 1000 };
}

function variable(value: string) {
  return { text: value, value };
}

function rangeVariables(range: TimeRange): ScopedVars {
  const milliseconds = range.to.valueOf() - range.from.valueOf();
  const seconds = Math.round(milliseconds / 1000);
  return { __range: variable(`${seconds}s`), __range_s: variable(String(seconds)), __range_ms: variable(String(milliseconds)) };
}

/** Variables in a query: one value as it stands within quotes, of several any one, as a regular expression. */
function interpolate(text: string, scopedVars: ScopedVars = {}): string {
  const scene = scopedVars['__sceneObject']?.value.valueOf() as SceneObject;
  return sceneGraph.interpolate(scene, text, scopedVars, (value: unknown, { multi, includeAll }: Variable) => {
    if (!multi && !includeAll) {
      return String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"');
    }
    if (!Array.isArray(value)) {
      return escapeRegex(String(value));
    }
    const escaped = value.map((each) => escapeRegex(String(each)));
    return escaped.length === 1 ? String(escaped[0]) : `(${escaped.join('|')})`;
  });
}

function escapeRegex(value: string): string {
  return value.replaceAll('\\', '\\\\\\\\').replace(/[$^*{}[\]+?.()|]/g, '\\\\$&').replaceAll('"', '\\"');
}

/** What fires or is, from the first sample of a series that is not 0 to the last before a gap, is one event. */
function annotationEvents(annotation: AnnotationFields, frames: DataFrame[]): AnnotationEvent[] {
  const events: AnnotationEvent[] = [];
  for (const frame of frames) {
    const time = frame.fields.find(({ type }) => type === FieldType.time);
    const value = frame.fields.find(({ type }) => type === FieldType.number);
    if (!time || !value || frame.meta?.dataTopic !== DataTopic.Annotations) {
      continue;
    }
    const labels = value.labels ?? {};
    const fill = (format = '') => format.replace(/\{\{\s*([^}]+?)\s*\}\}/g, (_, label: string) => labels[label] ?? '');
    const describe = {
      title: fill(annotation.titleFormat),
      text: fill(annotation.textFormat),
      tags: (annotation.tagKeys ?? '').split(',').flatMap((key) => labels[key.trim()] ?? []),
    };
    const gap = (time.config.interval ?? 60_000) * 1.5;
    let open: AnnotationEvent | undefined;
    for (let row = 0; row < frame.length; row++) {
      const at: number = time.values[row];
      if (!value.values[row]) {
        open = undefined;
      } else if (open && at - (open.timeEnd ?? 0) <= gap) {
        open.timeEnd = at;
        open.isRegion = true;
      } else {
        open = { ...describe, time: at, timeEnd: at };
        events.push(open);
      }
    }
  }
  return events;
}
