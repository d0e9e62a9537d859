//! An hour of simulated time for the queue and an API server that takes what it is given.

use std::cell::RefCell;

use super::super::plan::tests::report;
use super::*;
use crate::api::template_object::TemplateObjectStatus;

/// A queue and what the API server has.
struct Simulation {
    start: Instant,
    now: Instant,
    queue: StatusQueue,
    seen: RefCell<HashMap<ObjectKey, Arc<SeenStatus>>>,
    counts: Option<Counts>,
    writes: Vec<(Duration, StatusWrite)>,
    most_in_flight: usize,
}

impl Simulation {
    fn new(reports: &Reports) -> Self {
        let start = Instant::now();
        let mut simulation = Self {
            start,
            now: start,
            queue: StatusQueue::default(),
            seen: RefCell::default(),
            counts: None,
            writes: Vec::new(),
            most_in_flight: 0,
        };
        for (key, report) in reports {
            simulation.store(key, &report.uid, &TemplateObjectStatus::default());
        }
        simulation.queue.replace_reports(reports, start);
        simulation
    }

    fn store(&self, key: &ObjectKey, uid: &str, status: &TemplateObjectStatus) {
        self.seen.borrow_mut().insert(key.clone(), Arc::new(SeenStatus::new(uid, "1", status)));
    }

    fn next(&mut self) -> Option<StatusWrite> {
        let (seen, counts) = (&self.seen, &self.counts);
        self.queue.next(self.now, "2026-01-01T00:00:00Z", |key| seen.borrow().get(key).cloned(), |_| counts.clone())
    }

    /// Runs for a time. `answer` says what becomes of a write, and may change what is stored.
    fn run(&mut self, time: Duration, mut answer: impl FnMut(&Self, &StatusWrite) -> WriteResult) {
        let end = self.now + time;
        while self.now < end {
            let mut begun = Vec::new();
            while let Some(write) = self.next() {
                begun.push(write);
            }
            self.most_in_flight = self.most_in_flight.max(begun.len());
            for write in begun {
                let key = write.report.key.clone();
                let result = answer(self, &write);
                self.writes.push((self.now - self.start, write));
                // The watch tells of it, before or after the response.
                self.queue.look_at(&key, self.now);
                self.queue.finished(&key, result, Duration::from_secs(5), self.now);
            }
            let idle = self.now + Duration::from_secs(1);
            self.now = self.queue.due().map_or(idle, |due| due.max(self.now)).min(idle);
        }
    }
}

fn takes(simulation: &Simulation, write: &StatusWrite) -> WriteResult {
    simulation.store(&write.report.key, &write.report.uid, &write.planned.status);
    WriteResult::Written
}

fn reports(count: usize) -> Reports {
    (0..count)
        .map(|index| report(&format!("t-{index}"), 1))
        .map(|report| (report.key.clone(), Arc::new(report)))
        .collect()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn each_of_five_thousand_objects_is_written_once_and_then_nothing_for_an_hour() {
    let reports = reports(5_000);
    let mut simulation = Simulation::new(&reports);
    simulation.run(HOUR, takes);
    assert_eq!((simulation.writes.len(), simulation.most_in_flight), (5_000, CONCURRENCY));
    // A new leader, which looks at everything again, finds it as it should be.
    simulation.queue = StatusQueue::default();
    simulation.queue.replace_reports(&reports, simulation.now);
    simulation.writes.clear();
    simulation.run(HOUR, takes);
    assert!(simulation.writes.is_empty(), "{}", simulation.writes.len());
}

#[test]
fn equal_reports_are_not_written_again() {
    let mut simulation = Simulation::new(&reports(1));
    simulation.run(HOUR, takes);
    for _ in 0..100 {
        simulation.queue.replace_reports(&reports(1), simulation.now);
        simulation.run(Duration::from_secs(10), takes);
    }
    assert_eq!(simulation.writes.len(), 1);
}

#[test]
fn a_status_that_somebody_keeps_rewriting_is_put_right_with_growing_pauses() {
    let mut simulation = Simulation::new(&reports(1));
    let undone = |simulation: &Simulation, write: &StatusWrite| {
        let wrong = TemplateObjectStatus { injection: "Other".to_owned(), ..write.planned.status.clone() };
        simulation.store(&write.report.key, &write.report.uid, &wrong);
        WriteResult::Written
    };
    simulation.run(HOUR, undone);
    let times: Vec<u64> = simulation.writes.iter().map(|(time, _)| time.as_secs()).collect();
    assert_eq!(times[..8], [0, 1, 3, 7, 15, 31, 63, 127]);
    assert!((15..=22).contains(&times.len()), "{times:?}");
    // Left alone, it is right within the longest pause, and one change is then put right at once.
    simulation.run(LONGEST_PAUSE, takes);
    simulation.run(HOUR, takes);
    let before = simulation.writes.len();
    let (key, uid) = (simulation.writes[0].1.report.key.clone(), simulation.writes[0].1.report.uid.clone());
    simulation.store(&key, &uid, &TemplateObjectStatus::default());
    simulation.queue.look_at(&key, simulation.now);
    simulation.run(Duration::from_secs(1), takes);
    assert_eq!(simulation.writes.len(), before + 1);
}

#[test]
fn a_status_that_is_refused_is_tried_with_growing_pauses_and_delays_no_other() {
    let mut simulation = Simulation::new(&reports(20));
    simulation.run(HOUR, |simulation, write| match write.report.key.name.as_str() {
        "t-0" => WriteResult::Refused,
        _ => takes(simulation, write),
    });
    let tries = simulation.writes.iter().filter(|(_, write)| write.report.key.name == "t-0").count();
    assert!((10..=25).contains(&tries), "{tries}");
    assert_eq!(simulation.writes.len(), tries + 19);
}

#[test]
fn while_no_status_can_be_written_one_at_a_time_is_tried() {
    let mut simulation = Simulation::new(&reports(100));
    simulation.run(Duration::from_secs(600), |_, _| WriteResult::Failed);
    assert!(simulation.writes.len() < 8 + 125, "{}", simulation.writes.len());
    simulation.writes.clear();
    simulation.run(HOUR, takes);
    assert_eq!(simulation.writes.len(), 100, "afterwards each is written once");
}

#[test]
fn a_new_generation_is_written_within_a_second_whatever_was_before() {
    let mut simulation = Simulation::new(&reports(1));
    simulation.run(HOUR, |_, _| WriteResult::Refused);
    let changed = Arc::new(report("t-0", 2));
    simulation.writes.clear();
    simulation.queue.replace_reports(&[(changed.key.clone(), changed)].into(), simulation.now);
    simulation.run(Duration::from_secs(2), takes);
    assert_eq!(simulation.writes.len(), 1);
    assert_eq!(simulation.writes[0].1.report.generation, 2);
}

#[test]
fn the_newest_report_wins_over_one_that_is_being_written() {
    let mut simulation = Simulation::new(&reports(1));
    let first = simulation.next().expect("a write");
    let changed = Arc::new(report("t-0", 2));
    simulation.queue.replace_reports(&[(changed.key.clone(), changed)].into(), simulation.now);
    assert!(simulation.next().is_none(), "one write of an object at a time");
    takes(&simulation, &first);
    simulation.queue.finished(&first.report.key, WriteResult::Written, Duration::ZERO, simulation.now);
    simulation.run(HOUR, takes);
    assert_eq!(simulation.writes.len(), 1);
    assert_eq!(simulation.writes[0].1.planned.status.observed_generation, 2);
}

#[test]
fn numbers_of_pods_alone_are_written_at_most_every_five_minutes() {
    let mut simulation = Simulation::new(&reports(1));
    let key = reports(1).into_keys().next().expect("one");
    for pods in 0..60 {
        simulation.counts = Some(Counts { pods, namespaces: 1, by_revision: BTreeMap::new() });
        simulation.queue.look_at(&key, simulation.now);
        simulation.run(Duration::from_secs(60), takes);
    }
    assert!((11..=14).contains(&simulation.writes.len()), "{}", simulation.writes.len());
}

#[test]
fn objects_that_are_not_there_or_were_made_anew_are_not_written() {
    let mut simulation = Simulation::new(&reports(2));
    let keys: Vec<ObjectKey> = reports(2).into_keys().collect();
    simulation.seen.borrow_mut().remove(&keys[0]);
    simulation.store(&keys[1], "another", &TemplateObjectStatus::default());
    simulation.run(HOUR, takes);
    assert!(simulation.writes.is_empty());
    simulation.queue.replace_reports(&Reports::new(), simulation.now);
    assert_eq!((simulation.queue.due(), simulation.queue.objects.len()), (None, 0));
}
