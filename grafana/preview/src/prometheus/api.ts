/** What is used of the Prometheus HTTP API, as https://prometheus.io/docs/prometheus/latest/querying/api/ describes it. */

export type Labels = Record<string, string>;
/** Unix seconds, and the value as text. */
export type Sample = [number, string];

export interface Series {
  metric: Labels;
  values: Sample[];
}

export interface Exemplars {
  seriesLabels: Labels;
  exemplars: Array<{ labels: Labels; value: string; timestamp: number }>;
}

/** Times are Unix seconds. */
export interface Span {
  start: number;
  end: number;
}

export class PrometheusApi {
  /** `root` is where the API's paths begin. */
  constructor(private readonly root: string) {}

  async range(query: string, span: Span, step: number): Promise<Series[]> {
    const data = await this.post<{ result: Series[] }>('query_range', { query, ...text(span), step: String(step) });
    return data.result;
  }

  /** An instant query; a scalar is a series without labels. */
  async instant(query: string, time: number): Promise<Series[]> {
    type Result = { resultType: 'vector'; result: Array<{ metric: Labels; value: Sample }> } | { resultType: 'scalar'; result: Sample };
    const data = await this.post<Result>('query', { query, time: String(time) });
    if (data.resultType === 'scalar') {
      return [{ metric: {}, values: [data.result] }];
    }
    return data.result.map(({ metric, value }) => ({ metric, values: [value] }));
  }

  exemplars(query: string, span: Span): Promise<Exemplars[]> {
    return this.post('query_exemplars', { query, ...text(span) });
  }

  labelNames(span: Span, match?: string): Promise<string[]> {
    return this.get('labels', { ...text(span), ...(match && { 'match[]': match }) });
  }

  labelValues(label: string, span: Span, match?: string): Promise<string[]> {
    return this.get(`label/${encodeURIComponent(label)}/values`, { ...text(span), ...(match && { 'match[]': match }) });
  }

  private get<T>(path: string, parameters: Record<string, string>): Promise<T> {
    return this.answer(path, fetch(`${this.root}/api/v1/${path}?${new URLSearchParams(parameters)}`));
  }

  /** As the provisioned data source has it: a query may be longer than an address. */
  private post<T>(path: string, parameters: Record<string, string>): Promise<T> {
    return this.answer(path, fetch(`${this.root}/api/v1/${path}`, { method: 'POST', body: new URLSearchParams(parameters) }));
  }

  private async answer<T>(path: string, asked: Promise<Response>): Promise<T> {
    const response = await asked;
    const body = await response.text();
    let answer: { status?: string; error?: string; data?: T };
    try {
      answer = JSON.parse(body);
    } catch {
      throw new Error(`${path}: status ${response.status}, and no JSON: ${body.slice(0, 200)}`);
    }
    if (answer.status !== 'success') {
      throw new Error(answer.error ?? `${path}: status ${response.status}`);
    }
    return answer.data as T;
  }
}

function text({ start, end }: Span) {
  return { start: String(start), end: String(end) };
}
