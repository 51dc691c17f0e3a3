//! The `process_…` metrics of the `prometheus` crate, with the fractions of processor time that it leaves out.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Opts, Result};
use rustix::time::{ClockId, clock_gettime};

const CPU: &str = "process_cpu_seconds_total";

/// The metrics of this process.
///
/// The crate counts the processor time in whole seconds: of a process that needs a hundredth, `rate()` over five minutes
/// shows 0 or three times too much.
pub(super) struct ProcessMetrics {
    others: ProcessCollector,
    cpu: Counter,
}

impl ProcessMetrics {
    /// Of this process.
    ///
    /// # Errors
    /// Never: the name of the metric is a good one.
    pub(super) fn new() -> Result<Self> {
        let cpu = Counter::with_opts(Opts::new(CPU, "Total user and system CPU time spent in seconds."))?;
        Ok(Self { others: ProcessCollector::for_self(), cpu })
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        // Its own description of the processor time is the same.
        self.others.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "a century has fewer nanoseconds than fit into 53 bits by far")]
        let spent = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        // Two scrapes at once may come here in either order.
        self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
        let others = self.others.collect().into_iter().filter(|family| family.name() != CPU);
        others.chain(self.cpu.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_has_fractions_and_never_falls() {
        let metrics = ProcessMetrics::new().unwrap();
        let read = || {
            let families = metrics.collect();
            assert_eq!(families.iter().filter(|family| family.name() == CPU).count(), 1);
            assert!(families.iter().any(|family| family.name() == "process_open_fds"));
            families.iter().find(|family| family.name() == CPU).unwrap().get_metric()[0].get_counter().get_value()
        };
        let first = read();
        let mut last = first;
        while last - first < 0.01 {
            let next = read();
            assert!(next >= last);
            last = next;
        }
        assert!(last - first < 1.0, "it rises by parts of a second");
    }
}
