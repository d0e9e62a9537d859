//! Reports what the kernel knows about this process: CPU time, memory, file descriptors, threads.
//!
//! It reads `/proc` when metrics are asked for, and nothing before.
//! Invariant: a value that cannot be read is left out, and leaves every other metric as it is.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Result};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// A counter, the only one.
const CPU: (&str, &str) = ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");

type Reading = fn(&Reader) -> Option<f64>;

/// The gauges: name, help, and what reads the value.
const GAUGES: [(&str, &str, Reading); 6] = [
    ("process_open_fds", "Number of open file descriptors.", |_| open_fds()),
    ("process_max_fds", "Maximum number of open file descriptors.", |_| {
        Some(getrlimit(Resource::Nofile).current? as f64)
    }),
    ("process_virtual_memory_bytes", "Virtual memory size in bytes.", |reader| reader.stat(23)),
    ("process_resident_memory_bytes", "Resident memory size in bytes.", |reader| {
        Some(reader.stat(24)? * page_size() as f64)
    }),
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", |reader| {
        Some(reader.boot_time? + reader.seconds(22)?)
    }),
    ("process_threads", "Number of OS threads in the process.", |reader| reader.stat(20)),
];

/// Makes the metrics of the process anew for each response.
pub(super) struct ProcessCollector {
    descriptions: Vec<Desc>,
    /// Read once: the kernel moves it when somebody sets the clock.
    boot_time: Option<f64>,
}

impl ProcessCollector {
    pub(super) fn new() -> Result<Self> {
        let mut descriptions = Vec::new();
        for (name, help) in [CPU].into_iter().chain(GAUGES.map(|(name, help, _)| (name, help))) {
            descriptions.extend(Gauge::new(name, help)?.desc().into_iter().cloned());
        }
        Ok(Self { descriptions, boot_time: boot_time() })
    }

    fn families(&self) -> Result<Vec<MetricFamily>> {
        let reader =
            Reader { stat: fs::read_to_string("/proc/self/stat").unwrap_or_default(), boot_time: self.boot_time };
        let mut families = Vec::new();
        if let Some(seconds) = reader.cpu_seconds() {
            let counter = Counter::new(CPU.0, CPU.1)?;
            counter.inc_by(seconds);
            families.extend(counter.collect());
        }
        for (name, help, reading) in GAUGES {
            if let Some(value) = reading(&reader) {
                let gauge = Gauge::new(name, help)?;
                gauge.set(value);
                families.extend(gauge.collect());
            }
        }
        Ok(families)
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families().unwrap_or_default()
    }
}

/// What one response is made of.
struct Reader {
    /// `/proc/self/stat`; empty if it cannot be read.
    stat: String,
    boot_time: Option<f64>,
}

impl Reader {
    /// A field, by its number in proc_pid_stat(5). The program's name, the second, may contain
    /// spaces and parentheses, so the fields are counted from the third on.
    fn stat(&self, number: usize) -> Option<f64> {
        let (_, fields) = self.stat.rsplit_once(')')?;
        fields.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
    }

    /// A field that is in clock ticks.
    fn seconds(&self, number: usize) -> Option<f64> {
        Some(self.stat(number)? / clock_ticks_per_second() as f64)
    }

    fn cpu_seconds(&self) -> Option<f64> {
        Some(self.seconds(14)? + self.seconds(15)?)
    }
}

/// The descriptor with which they are counted is not one of them.
fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.checked_sub(1)? as f64)
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{SystemTime, UNIX_EPOCH};

    use prometheus::proto::MetricType;

    use super::*;

    fn value(name: &str) -> f64 {
        let families = ProcessCollector::new().expect("the names are valid").collect();
        let values: BTreeMap<_, _> = families
            .iter()
            .map(|family| {
                let metric = &family.get_metric()[0];
                let is_counter = family.get_field_type() == MetricType::COUNTER;
                assert_eq!(is_counter, family.name().ends_with("_total"));
                (
                    family.name(),
                    if is_counter { metric.get_counter().get_value() } else { metric.get_gauge().get_value() },
                )
            })
            .collect();
        assert_eq!(values.len(), 7, "{values:?}");
        values[name]
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = value(CPU.0);
        while value(CPU.0) < before + 0.02 {
            std::hint::black_box((0..100_000).sum::<u64>());
        }
    }

    #[test]
    fn a_file_that_is_opened_and_memory_that_is_used_are_counted() {
        let limit = value("process_max_fds");
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/stat").expect("Linux")).collect();
        let open = value("process_open_fds");
        assert!((53.0..=limit).contains(&open), "{open} of {limit}");
        drop(files);
        let resident = value("process_resident_memory_bytes");
        assert!(resident > 1e6 && resident < value("process_virtual_memory_bytes"), "{resident}");
    }

    #[test]
    fn the_process_started_a_short_time_ago() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "{age}");
        assert!(value("process_threads") >= 2.0, "the test runs on a thread of its own");
    }

    #[test]
    fn a_program_name_with_spaces_and_parentheses_moves_no_field() {
        let rest: Vec<String> = (3..=24).map(|number| number.to_string()).collect();
        let reader = Reader { stat: format!("1 (a) b (c d) {}", rest.join(" ")), boot_time: None };
        assert_eq!((reader.stat(3), reader.stat(24), reader.stat(25)), (Some(3.0), Some(24.0), None));
        assert_eq!(Reader { stat: String::new(), boot_time: None }.stat(3), None);
    }
}
