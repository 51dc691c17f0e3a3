//! The `process_…` metrics, by their usual names. They are read at every scrape, so that they are taken from what the system says at the price of a
//! few microseconds, however many files are open: one file that stays open, and three questions to the kernel.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge, Opts, Result};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What the system says of this process; it is no longer than a few hundred bytes.
const STAT: &str = "/proc/self/stat";
const OPEN_FILES: &str = "/proc/self/fd";

/// The metrics of this process. What the system does not say is not on the page.
pub(super) struct ProcessMetrics {
    /// Open from the start, and read from its beginning each time.
    stat: Option<File>,
    cpu: Counter,
    max_fds: IntGauge,
    open_fds: IntGauge,
    resident: IntGauge,
    start: IntGauge,
    threads: IntGauge,
    virtual_memory: IntGauge,
}

impl ProcessMetrics {
    /// Of this process.
    ///
    /// # Errors
    /// Never: the names of the metrics are good ones.
    pub(super) fn new() -> Result<Self> {
        let gauge = |name: &str, help: &str| IntGauge::with_opts(Opts::new(name, help));
        Ok(Self {
            stat: File::open(STAT).ok(),
            cpu: Counter::with_opts(Opts::new(
                "process_cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
            ))?,
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
            open_fds: gauge("process_open_fds", "Number of open file descriptors.")?,
            resident: gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            start: gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")?,
            threads: gauge("process_threads", "Number of OS threads in the process.")?,
            virtual_memory: gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
        })
    }

    fn gauges(&self) -> [&IntGauge; 6] {
        [&self.max_fds, &self.open_fds, &self.resident, &self.start, &self.threads, &self.virtual_memory]
    }

    /// Sets what `stat` says; whether it could be read.
    fn read_stat(&self) -> bool {
        let mut text = [0; 1024];
        let read = self.stat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok());
        let Some(stat) = read.and_then(|length| Stat::parse(text.get(..length)?)) else { return false };
        self.threads.set(stat.threads);
        self.virtual_memory.set(stat.virtual_bytes);
        self.resident.set(stat.resident_pages.saturating_mul(i64::try_from(page_size()).unwrap_or(0)));
        if self.start.get() == 0
            && let Some(booted) = std::fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time)
        {
            let ticks = i64::try_from(clock_ticks_per_second()).unwrap_or(100).max(1);
            self.start.set(booted + stat.start_ticks / ticks);
        }
        true
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).chain(self.cpu.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // In nanoseconds: `stat` counts in hundredths of a second, of which an idle process needs one in a while.
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "a century has fewer nanoseconds than fit into 53 bits by far")]
        let spent = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
        // Two scrapes at once may come here in either order.
        self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
        let mut shown = self.cpu.collect();
        let mut show = |gauge: &IntGauge, value: Option<i64>| {
            if let Some(value) = value {
                gauge.set(value);
                shown.extend(gauge.collect());
            }
        };
        let limit = getrlimit(Resource::Nofile).current;
        show(&self.max_fds, limit.and_then(|limit| i64::try_from(limit).ok()));
        show(&self.open_fds, open_files());
        if self.read_stat() {
            for gauge in [&self.resident, &self.start, &self.threads, &self.virtual_memory] {
                show(gauge, Some(gauge.get()));
            }
        }
        shown
    }
}

/// How many files are open.
fn open_files() -> Option<i64> {
    // Linux says it as the size of the directory since 6.2; before, and where it is imitated, that is 0.
    let size = rustix::fs::stat(OPEN_FILES).ok()?.st_size;
    if size > 0 {
        return Some(size);
    }
    // The directory itself is open for as long as it is read.
    i64::try_from(std::fs::read_dir(OPEN_FILES).ok()?.count().saturating_sub(1)).ok()
}

/// What is used of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    threads: i64,
    start_ticks: i64,
    virtual_bytes: i64,
    resident_pages: i64,
}

impl Stat {
    /// As proc(5) says: the name of the program, the second field, is in parentheses, and may have anything in it.
    fn parse(text: &[u8]) -> Option<Self> {
        let behind_name = text.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = std::str::from_utf8(text.get(behind_name..)?).ok()?.split_ascii_whitespace();
        // The first of these is the third of all.
        let threads = fields.nth(20 - 3)?.parse().ok()?;
        let start_ticks = fields.nth(22 - 20 - 1)?.parse().ok()?;
        let virtual_bytes = fields.next()?.parse().ok()?;
        let resident_pages = fields.next()?.parse().ok()?;
        Some(Self { threads, start_ticks, virtual_bytes, resident_pages })
    }
}

/// When the system began, in Unix seconds.
fn boot_time(stat: &str) -> Option<i64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &ProcessMetrics, name: &str) -> f64 {
        let families = metrics.collect();
        let mut named = families.iter().filter(|family| family.name() == name);
        let family = named.next().unwrap();
        assert!(named.next().is_none(), "{name} is there once");
        let metric = &family.get_metric()[0];
        if name == "process_cpu_seconds_total" {
            metric.get_counter().get_value()
        } else {
            metric.get_gauge().get_value()
        }
    }

    #[test]
    fn processor_time_has_fractions_and_never_falls() {
        let metrics = ProcessMetrics::new().unwrap();
        let read = || value(&metrics, "process_cpu_seconds_total");
        let first = read();
        let mut last = first;
        while last - first < 0.01 {
            let next = read();
            assert!(next >= last);
            last = next;
        }
        assert!(last - first < 1.0, "it rises by parts of a second");
    }

    #[test]
    fn what_the_system_says_elsewhere_is_the_same() {
        let metrics = ProcessMetrics::new().unwrap();
        // Other tests open files, begin threads and take memory meanwhile: what is held on to here must be seen.
        let files: Vec<File> = (0..500).map(|_| File::open("/dev/null").unwrap()).collect();
        let open = value(&metrics, "process_open_fds");
        assert!(open >= 500.0 && open <= value(&metrics, "process_max_fds"), "{open}");
        drop(files);

        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let said = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let is_near = |name: &str, said: f64| {
            let shown = value(&metrics, name);
            assert!(shown > said / 2.0 && shown < said * 2.0, "{name}: {shown} and {said}");
        };
        is_near("process_virtual_memory_bytes", said("VmSize:") * 1024.0);
        is_near("process_resident_memory_bytes", said("VmRSS:") * 1024.0);
        assert!(value(&metrics, "process_threads") >= 1.0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let began = value(&metrics, "process_start_time_seconds");
        assert!(began <= now + 1.0 && began > now - 86_400.0, "{began} is before {now}, by less than a day");
    }

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let text = b"11963 (a) b (c) S 11957 11956 1347 0 -1 4194304 108171 0 0 0 351 237 0 0 20 0 5 0 8789644 62 77 18446744073709551615 1";
        let stat = Stat { threads: 5, start_ticks: 8_789_644, virtual_bytes: 62, resident_pages: 77 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse(&text[..60]), None);
        assert_eq!(boot_time("cpu  1 2\nbtime 1775000000\nprocesses 5\n"), Some(1_775_000_000));
    }
}
