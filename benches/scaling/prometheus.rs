//! What Prometheus needs of memory and processor for a page.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::resident;
use crate::series::{filled, start};

/// Scrapes before it is looked at: the first ones fill the head.
const SCRAPES: u64 = 20;

/// Prints it for few and for many series.
pub fn measure() {
    let Ok(program) = std::env::var("PROMETHEUS_3") else {
        return println!("PROMETHEUS_3 names no Prometheus; see `.ci/tools`");
    };
    println!("| agents | series in the head | resident | processor a scrape |");
    println!("| --- | --- | --- | --- |");
    for agents in [1, 100, 1_000] {
        let directory = filled(agents);
        let exporter = start(&directory);
        exporter.until("/metrics");
        let place = tempfile::tempdir().unwrap();
        let configuration = place.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{{job_name: agntix, static_configs: [{{targets: ['{}']}}]}}]\n",
            exporter.web
        );
        std::fs::write(&configuration, text).unwrap();
        let mut server = Server(
            Command::new(&program)
                .arg(format!("--config.file={}", configuration.display()))
                .arg(format!("--storage.tsdb.path={}", place.path().join("data").display()))
                .arg("--web.listen-address=127.0.0.1:0")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs(SCRAPES / 2));
        let before = server.processor();
        std::thread::sleep(Duration::from_secs(SCRAPES / 2));
        let used = (server.processor() - before) / (SCRAPES / 2) as f64;
        assert!(server.0.try_wait().unwrap().is_none(), "Prometheus has ended after {:?}", began.elapsed());
        let page = exporter.get("/metrics", false).unwrap().1;
        let series =
            page.split(|byte| *byte == b'\n').filter(|line| line.first().is_some_and(u8::is_ascii_lowercase)).count();
        println!(
            "| {agents} | {series} | {:.0} MB | {:.0} ms |",
            resident(Some(server.0.id())) as f64 / 1e6,
            used * 1e3
        );
        exporter.end(false);
        std::fs::remove_dir_all(directory).unwrap();
    }
}

/// A server that is ended with its value.
struct Server(Child);

impl Server {
    /// Seconds of processor time so far.
    fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        // Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
        rest.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
