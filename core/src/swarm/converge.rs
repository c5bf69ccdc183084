//! Waiting until services are what they should be, by the states of their tasks: all services at once, on one poll.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{Swarm, Task, observe::spec_name, services::mode_of, tasks::of_stack};
use crate::{
    engine::{Filters, Req, text},
    error::{Error, ErrorKind, Result},
    progress::{Event, EventSink, Resource, Status},
};

/// How long a service must stay as it should be; docker's own.
const WINDOW: Duration = Duration::from_secs(5);
/// How many tasks may fail before the service is given up.
const FAILURES: usize = 3;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Begun; its health does not matter.
    Started,
    /// Running, and healthy where there is a check.
    Running,
    /// Running or ended with 0.
    Begun,
    /// Ended with 0.
    Completed,
    /// Running for a while, or, for what runs once, ended with 0.
    Stable,
}

/// Where a service stands.
enum Standing {
    There,
    /// All tasks are there, and the managers still watch the update.
    Updating(String),
    Ended,
    NotYet(String),
    Failed(Error),
}

pub(crate) struct Wait<'a> {
    pub(crate) swarm: &'a Swarm,
    pub(crate) stack: &'a str,
    pub(crate) timeout: Duration,
    pub(crate) events: &'a EventSink,
}

impl Wait<'_> {
    /// Waits until all of these services have reached the goal.
    pub(crate) async fn until(&self, names: &[String], goal: Goal) -> Result<()> {
        let end = Instant::now() + self.timeout;
        let mut since: BTreeMap<String, Instant> = BTreeMap::new();
        let mut old_failures: Option<BTreeSet<String>> = None;
        let mut shown: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        loop {
            let (services, tasks) = self.look().await?;
            let old = old_failures.get_or_insert_with(|| tasks.iter().filter(|t| has_failed(t)).map(|t| t.id.clone()).collect());
            let mut open: Vec<String> = Vec::new();
            for name in names {
                let Some(service) = services.get(name) else {
                    return Err(Error::new(ErrorKind::Conflict, format!("the service {name} is gone"))
                        .hint("someone removed it; call up again")
                        .with("service", name));
                };
                let own: Vec<&Task> = tasks.iter().filter(|t| t.service == *name).collect();
                self.show(name, service, &own, &mut shown);
                match standing(service, &own, old, goal) {
                    Standing::Failed(e) => return Err(e.with("service", name)),
                    Standing::Ended => {}
                    Standing::There if goal != Goal::Stable => {}
                    Standing::There => {
                        let began = *since.entry(name.clone()).or_insert_with(Instant::now);
                        if began.elapsed() < window(service) {
                            open.push(format!("{name} has not run long enough"));
                        }
                    }
                    Standing::Updating(why) => {
                        since.entry(name.clone()).or_insert_with(Instant::now);
                        open.push(format!("{name}: {why}"));
                    }
                    Standing::NotYet(why) => {
                        since.remove(name);
                        open.push(format!("{name}: {why}"));
                    }
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                let limit = crate::units::go_duration(self.timeout);
                return Err(Error::new(ErrorKind::Timeout, format!("not there within {limit}: {}", open.join("; ")))
                    .hint("look at stack.ps() and stack.logs(); the same call goes on")
                    .with("stack", self.stack));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The services of the stack by name, and the tasks of their newest specs.
    async fn look(&self) -> Result<(BTreeMap<String, Value>, Vec<Task>)> {
        let filters = of_stack(self.stack);
        let newest: Filters = filters.clone().into_iter().chain([("_up-to-date".to_owned(), vec!["true".to_owned()])]).collect();
        let (services, tasks) = futures_util::try_join!(
            self.swarm.fetch::<Vec<Value>>(|| Req::get(&["services"]).filters(&filters)),
            self.swarm.fetch::<Vec<Value>>(|| Req::get(&["tasks"]).filters(&newest)),
        )?;
        let names: BTreeMap<String, String> = services.iter().map(|s| (text(s, "ID"), spec_name(s))).collect();
        let tasks = tasks.iter().map(|t| Task::read(t, &names, &BTreeMap::new())).collect();
        Ok((services.into_iter().map(|s| (spec_name(&s), s)).collect(), tasks))
    }

    fn show(&self, name: &str, service: &Value, tasks: &[&Task], shown: &mut BTreeMap<String, (u64, u64)>) {
        let running = tasks.iter().filter(|t| t.is_running()).count() as u64;
        let (_, count) = mode_of(service.get("Spec").unwrap_or(&Value::Null));
        let now = (running, count.unwrap_or_else(|| tasks.iter().filter(|t| t.desired_state == "running").count() as u64));
        if self.events.is_on() && shown.insert(name.to_owned(), now) != Some(now) {
            self.events.send(Event {
                resource: Resource::new("service", name),
                action: "converge".to_owned(),
                status: Status::Progress,
                current: Some(now.0),
                total: Some(now.1),
                message: format!("{} of {} running", now.0, now.1),
                ..Event::default()
            });
        }
    }
}

fn has_failed(task: &Task) -> bool {
    matches!(task.state.as_str(), "failed" | "rejected")
}

fn window(service: &Value) -> Duration {
    let monitor = service.pointer("/Spec/UpdateConfig/Monitor").and_then(Value::as_u64).filter(|m| *m > 0);
    monitor.map_or(WINDOW, Duration::from_nanos)
}

fn standing(service: &Value, tasks: &[&Task], old_failures: &BTreeSet<String>, goal: Goal) -> Standing {
    let update = service.pointer("/UpdateStatus/State").and_then(Value::as_str).unwrap_or_default();
    let message = service.pointer("/UpdateStatus/Message").and_then(Value::as_str).unwrap_or_default();
    match update {
        "paused" | "rollback_paused" | "rollback_completed" => {
            return Standing::Failed(
                Error::new(ErrorKind::Unhealthy, format!("the update is {}: {message}", update.replace('_', " "))).hint("look at its tasks and logs"),
            );
        }
        _ => {}
    }
    let failed: Vec<&&Task> = tasks.iter().filter(|t| has_failed(t) && !old_failures.contains(&t.id)).collect();
    let newest = failed.iter().max_by(|a, b| a.time.cmp(&b.time));
    let why = newest.map(|t| format!("task {} {}: {}", t.name, t.state, if t.error.is_empty() { &t.message } else { &t.error }));
    let (mode, count) = mode_of(service.get("Spec").unwrap_or(&Value::Null));
    let live: Vec<&&Task> = tasks.iter().filter(|t| t.desired_state == "running" && !t.is_over()).collect();
    let completed = tasks.iter().filter(|t| t.state == "complete").count() as u64;
    let once =
        mode.ends_with("-job") || matches!(service.pointer("/Spec/TaskTemplate/RestartPolicy/Condition").and_then(Value::as_str), Some("none" | "on-failure"));
    let wanted = count.unwrap_or_else(|| (tasks.iter().filter(|t| matches!(t.desired_state.as_str(), "running" | "complete")).count() as u64).max(1));
    // With a restart policy that lets tasks end, one that has failed for good has no successor.
    if failed.len() >= FAILURES || (once && live.is_empty() && !failed.is_empty() && completed < wanted && tasks.iter().all(|t| t.is_over())) {
        let hint = "look at its logs; the tasks' errors are in stack.ps()";
        return Standing::Failed(Error::new(ErrorKind::Unhealthy, why.unwrap_or_else(|| "its tasks fail".to_owned())).hint(hint));
    }
    if once && wanted > 0 && completed >= wanted && (live.is_empty() || mode.ends_with("-job")) {
        return Standing::Ended;
    }
    let running = match goal {
        Goal::Completed => return Standing::NotYet(why.unwrap_or_else(|| "it has not completed".to_owned())),
        Goal::Started => live.iter().filter(|t| matches!(t.state.as_str(), "starting" | "running")).count() as u64,
        Goal::Running | Goal::Begun | Goal::Stable => live.iter().filter(|t| t.state == "running").count() as u64,
    };
    // What is scaled down is there when the surplus is gone too.
    let enough = if goal == Goal::Stable { running == wanted } else { running >= wanted };
    match update {
        "updating" | "rollback_started" if enough && goal == Goal::Stable => return Standing::Updating(format!("the update is {}", update.replace('_', " "))),
        _ if enough => return Standing::There,
        _ => {}
    }
    let pending = live
        .iter()
        .find(|t| t.state != "running")
        .map(|t| if t.error.is_empty() { format!("{} is {}", t.name, t.state) } else { format!("{}: {}", t.name, t.error) });
    Standing::NotYet(why.or(pending).unwrap_or_else(|| format!("{running} of {wanted} run")))
}
