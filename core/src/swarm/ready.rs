//! Waiting until a service can be used: for ports where they are published, for its output, for its tasks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture};
use serde_json::Value;

use super::{
    Swarm,
    converge::{Goal, Wait},
    services::ServiceLogOptions,
    tasks::ListTasks,
};
use crate::{
    engine::{Filters, Question, Req, Search, WaitUntil},
    error::{Error, ErrorKind, Result},
    progress::EventSink,
};

/// How often is looked where nothing tells.
const LOOK: Duration = Duration::from_millis(250);
/// How long is listened to a service's output before it is asked for anew.
const LISTEN: Duration = Duration::from_secs(5);

/// Waits until the service `key` of a stack meets the conditions.
pub(crate) async fn usable(swarm: &Swarm, stack: &str, key: &str, o: WaitUntil) -> Result<()> {
    let limit = o.timeout.map_or(Duration::from_secs(60), |t| t.0);
    let name = format!("{stack}_{key}");
    Watched { swarm, stack, name: &name }.ready(&o, limit).await.map_err(|e| e.with("service", &*name))
}

/// Waits so long for one condition, which an error then names.
async fn limited(limit: Duration, what: String, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = crate::units::go_duration(limit);
        Err(Error::new(ErrorKind::Timeout, format!("the service was not ready within {limit}: waited for {what}")).hint("look at its tasks and logs"))
    })
}

struct Watched<'a> {
    swarm: &'a Swarm,
    stack: &'a str,
    name: &'a str,
}

/// Where a port of a service is reached: hosts and the published port.
type Places = (Vec<String>, u16);

impl Watched<'_> {
    async fn ready(&self, o: &WaitUntil, limit: Duration) -> Result<()> {
        self.swarm.service(self.name).await?;
        // A task that runs is healthy where it has a check: managers wait for that.
        let quiet = EventSink::default();
        let wait = Wait { swarm: self.swarm, stack: self.stack, timeout: limit, events: &quiet };
        let names = [self.name.to_owned()];
        wait.until(&names, Goal::Running).await?;
        let mut all: Vec<BoxFuture<'_, Result<()>>> = Vec::new();
        if let Some(text) = &o.log {
            let what = format!("`{}` in the output of each task", crate::error::escape(text));
            all.push(Box::pin(limited(limit, what, self.until_log(text, o.log_times.unwrap_or(1)))));
        }
        if let Some((port, question)) = o.asked()? {
            let what = o.http.as_ref().map_or_else(|| format!("port {port}"), |path| format!("an answer to GET {path} at port {port}"));
            all.push(Box::pin(limited(limit, what, self.until_port(port, question))));
        }
        futures_util::future::try_join_all(all).await.map(drop)
    }

    /// The IDs of the tasks that should run, and of their nodes.
    async fn tasks(&self) -> Result<BTreeMap<String, String>> {
        let filters = Filters::from([("service".to_owned(), vec![self.name.to_owned()]), ("desired-state".to_owned(), vec!["running".to_owned()])]);
        let tasks = self.swarm.task_list(&ListTasks { filters }).await?;
        Ok(tasks.into_iter().filter(|t| t.service == self.name).map(|t| (t.id, t.node_id)).collect())
    }

    async fn until_log(&self, text: &str, times: u32) -> Result<()> {
        let service = self.swarm.service(self.name).await?;
        loop {
            // A manager gathers the output from the nodes; what does not come once may come when it is asked anew.
            if let Ok(result) = tokio::time::timeout(LISTEN, self.logged(&service.properties.id, text, times)).await {
                return result;
            }
        }
    }

    /// Listens until every task that runs has said it.
    async fn logged(&self, id: &str, text: &str, times: u32) -> Result<()> {
        let mut logs = self.swarm.service_logs(id, self.name, ServiceLogOptions::default().follow(true)).await?;
        let mut searches: BTreeMap<String, Search> = BTreeMap::new();
        let mut found = BTreeSet::new();
        while let Some(line) = StreamExt::next(&mut logs).await {
            let line = line?;
            let search = searches.entry(line.task.clone()).or_insert_with(|| Search::new(text, times));
            if search.found(&line.data) && found.insert(line.task) && self.tasks().await?.keys().all(|task| found.contains(task)) {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Unreachable, "the service's output ended").hint("wait again"))
    }

    async fn until_port(&self, port: u16, question: Option<Question>) -> Result<()> {
        loop {
            let (hosts, published) = self.places(port).await?;
            let looks = hosts.iter().map(|host| async {
                let Ok(engine) = self.swarm.manager() else { return false };
                engine.port_answers(host, published, question.as_ref()).await
            });
            let seen = futures_util::future::join_all(looks).await;
            if !seen.is_empty() && seen.iter().all(|there| *there) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn places(&self, port: u16) -> Result<Places> {
        let raw: Value = self.swarm.fetch(|| Req::get(&["services", self.name])).await?;
        let ports = raw.pointer("/Endpoint/Ports").or_else(|| raw.pointer("/Spec/EndpointSpec/Ports")).and_then(Value::as_array);
        let number = |p: &Value, name: &str| p.get(name).and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
        let published = ports.into_iter().flatten().find_map(|p| {
            let of_host = p.get("PublishMode").and_then(Value::as_str) == Some("host");
            let is_tcp = p.get("Protocol").and_then(Value::as_str).is_none_or(|protocol| protocol == "tcp");
            (is_tcp && number(p, "TargetPort") == Some(port)).then(|| number(p, "PublishedPort").map(|published| (published, of_host)))?
        });
        let Some((published, of_host)) = published else {
            return Err(Error::invalid(format!("the port {port} of {} is not published", self.name)).hint("publish it, or wait for its output instead"));
        };
        let nodes = self.swarm.node_list(&Filters::new()).await?;
        let running: BTreeSet<String> = self.tasks().await?.into_values().collect();
        let hosts = nodes.iter().filter(|n| !of_host || running.contains(&n.properties.id)).map(|n| n.properties.address.clone()).filter(|a| !a.is_empty());
        let mut hosts: Vec<String> = hosts.collect();
        if !of_host {
            // Any node takes a connection to a port of the swarm.
            hosts.truncate(1);
        }
        Ok((hosts, published))
    }
}
