import { rangeUtil, type TimeRange } from '@grafana/data';

/** Prometheus answers no more points of a series than this. */
const MAX_POINTS = 11_000;

export interface Steps {
  /** Seconds between two points, and what $__interval becomes. */
  step: number;
  /** What $__rate_interval becomes, in seconds. */
  rateInterval: number;
}

/**
 * The step of a query as Grafana's Prometheus data source takes it: the panel's width decides, a minimum bounds it (the query's own, else
 * what the panel or the data source say, which is in `panelInterval`), and the points that Prometheus answers at most.
 */
export function steps(
  range: TimeRange,
  maxDataPoints: number,
  panelInterval: number,
  queryMinimum: string | undefined,
  scrapeInterval: string
): Steps {
  const minimum = queryMinimum ? seconds(queryMinimum) : panelInterval;
  const calculated = rangeUtil.calculateInterval(range, maxDataPoints, `${Math.round(minimum * 1000)}ms`).intervalMs / 1000;
  const safe = Math.ceil((range.to.valueOf() - range.from.valueOf()) / 1000 / MAX_POINTS);
  const step = Math.max(calculated, safe);
  const scrape = seconds(queryMinimum || scrapeInterval);
  // At least four scrapes, so that one that fails leaves enough for a rate; and a step and a scrape, so that no increase is between two windows.
  return { step, rateInterval: Math.max(step + scrape, 4 * scrape) };
}

export function seconds(interval: string): number {
  return rangeUtil.intervalToMs(interval.replace(/^>/, '')) / 1000;
}
