/** The parts of a dashboard's classic JSON that the preview knows. */

import type { AnnotationQuery, DataSourceRef, DataTransformerConfig, FieldConfigSource, VariableModel } from '@grafana/data';

import type { PrometheusQuery } from './prometheus/datasource';

export interface GridPos {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Panel {
  id: number;
  type: string;
  title?: string;
  description?: string;
  transparent?: boolean;
  gridPos: GridPos;
  options?: object;
  fieldConfig?: FieldConfigSource;
  datasource?: DataSourceRef;
  targets?: PrometheusQuery[];
  transformations?: DataTransformerConfig[];
  interval?: string;
  maxDataPoints?: number;
  timeFrom?: string;
  links?: Link[];
  /** Of a row. */
  collapsed?: boolean;
  panels?: Panel[];
  repeat?: string;
}

export interface Link {
  title: string;
  url?: string;
  tooltip?: string;
  type?: 'link' | 'dashboards';
  tags?: string[];
}

export type Variable = VariableModel & {
  label?: string;
  description?: string;
  hide?: number;
  query?: string | { query: string; refId: string };
  regex?: string;
  regexApplyTo?: 'value' | 'text';
  sort?: number;
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string;
  datasource?: DataSourceRef;
  current?: { text?: string | string[]; value?: string | string[] };
  auto?: boolean;
};

export interface Dashboard {
  uid: string;
  title: string;
  description?: string;
  tags?: string[];
  timezone?: string;
  time?: { from: string; to: string };
  templating?: { list?: Variable[] };
  annotations?: { list?: Array<AnnotationQuery & { builtIn?: number }> };
  links?: Link[];
  panels?: Panel[];
}
