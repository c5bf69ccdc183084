//! Waiting for services: started, healthy, completed.

use std::time::Duration;

use super::{
    app::{App, UpOptions},
    observe::{self, Found},
};
use crate::{
    engine::{Container, WaitUntil},
    error::{Error, ErrorKind, Result},
};

/// How long waits may take where nothing else is said.
const LIMIT: Duration = Duration::from_secs(300);

/// What the wait for one container came to.
enum State {
    Done,
    NotYet,
    Failed(Error),
}

async fn poll(app: &App, service: &str, o: &UpOptions, what: &str, look: impl Fn(&Found) -> State) -> Result<()> {
    let limit = o.timeout.map_or(LIMIT, |t| t.0);
    let until = tokio::time::Instant::now() + limit;
    let mut pause = Duration::from_millis(50);
    loop {
        let all = observe::containers(&app.engine, &app.name).await?;
        let own: Vec<&Found> = all.iter().filter(|f| f.service == service && !f.one_off).collect();
        let mut open = own.is_empty();
        for found in own {
            match look(found) {
                State::Done => {}
                State::NotYet => open = true,
                State::Failed(e) => return Err(explain(app, found, e).await),
            }
        }
        if !open {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            let message = format!("the service {service} was not {what} within {}", crate::units::go_duration(limit));
            return Err(Error::new(ErrorKind::Timeout, message).hint("look at its logs, or give it a longer timeout").with("service", service));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Adds the last output of the health check, which says more than its state.
async fn explain(app: &App, found: &Found, e: Error) -> Error {
    let e = e.with("service", &*found.service).with("container", &*found.name);
    let Ok(details) = Container::from_row(&app.engine, &found.row).details().await else { return e };
    let log = details.raw.pointer("/State/Health/Log").and_then(serde_json::Value::as_array).and_then(|l| l.last()).cloned().unwrap_or_default();
    let output = log.get("Output").and_then(serde_json::Value::as_str).unwrap_or_default().trim().to_owned();
    if output.is_empty() { e } else { e.with("health_output", output) }
}

fn exit_code(found: &Found) -> Option<i64> {
    let status = found.row.get("Status").and_then(serde_json::Value::as_str).unwrap_or_default();
    status.strip_prefix("Exited (")?.split(')').next()?.parse().ok()
}

fn ended(found: &Found) -> Error {
    let code = exit_code(found).map_or_else(String::new, |c| format!(" with {c}"));
    Error::new(ErrorKind::Unhealthy, format!("the service {} ended{code}", found.service)).hint("look at its logs")
}

/// Waits until `service` meets what another one needs of it.
pub(crate) async fn condition(app: &App, service: &str, condition: &str, o: &UpOptions) -> Result<()> {
    match condition {
        "service_healthy" => healthy(app, service, o, true).await,
        "service_completed_successfully" => {
            poll(app, service, o, "completed", |f| match (f.state.as_str(), exit_code(f)) {
                ("exited", Some(0)) => State::Done,
                ("exited" | "dead", _) => State::Failed(ended(f)),
                _ => State::NotYet,
            })
            .await
        }
        _ => Ok(()),
    }
}

async fn healthy(app: &App, service: &str, o: &UpOptions, must_have_check: bool) -> Result<()> {
    poll(app, service, o, "healthy", |f| match (f.state.as_str(), f.health.as_deref()) {
        ("running", Some("healthy")) => State::Done,
        ("running", Some("unhealthy")) => {
            State::Failed(Error::new(ErrorKind::Unhealthy, format!("the service {service} is unhealthy")).hint("the output of its check is in the context"))
        }
        ("running", None) if must_have_check => State::Failed(
            Error::invalid(format!("the service {service} has no health check, and another one waits for its health")).hint("give it a healthcheck"),
        ),
        ("running", None) => State::Done,
        ("exited" | "dead", _) => State::Failed(ended(f)),
        _ => State::NotYet,
    })
    .await
}

/// Waits until each container of `service` meets the conditions.
pub(crate) async fn usable(app: &App, service: &str, o: WaitUntil) -> Result<()> {
    let all = observe::containers(&app.engine, &app.name).await?;
    let own: Vec<&Found> = all.iter().filter(|f| f.service == service && !f.one_off).collect();
    if own.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, format!("the service {} has no container", crate::error::escape(service)))
            .hint("bring the app up first")
            .with("service", service));
    }
    let waits = own.iter().map(|f| {
        let wait = Container::from_row(&app.engine, &f.row).wait_until().with_options(o.clone());
        async move { wait.await.map_err(|e| e.with("service", service)) }
    });
    futures_util::future::try_join_all(waits).await.map(drop)
}

/// Waits for what the options name of each service.
pub(crate) async fn ready(app: &App, o: &UpOptions) -> Result<()> {
    let waits = o.wait_until.iter().map(|(service, conditions)| {
        let mut conditions = conditions.clone();
        conditions.timeout = conditions.timeout.or(o.timeout).or(Some(LIMIT.into()));
        usable(app, service, conditions)
    });
    futures_util::future::try_join_all(waits).await.map(drop)
}

/// Waits until every service runs, and is healthy where it has a check; one that another waits to complete may have ended.
pub(crate) async fn all(app: &App, o: &UpOptions) -> Result<()> {
    let model = app.model()?;
    let names = super::reconcile::selected(model, &o.services)?;
    let completes = |name: &str| model.services.values().any(|s| s.depends_on.get(name).is_some_and(|d| d.condition == "service_completed_successfully"));
    let waits =
        names.iter().filter(|n| model.services.get(*n).is_some_and(|s| o.scale.get(*n).copied().unwrap_or_else(|| s.replicas()) > 0)).map(|name| async move {
            if completes(name) { condition(app, name, "service_completed_successfully", o).await } else { healthy(app, name, o, false).await }
        });
    futures_util::future::try_join_all(waits).await.map(drop)
}
