//! The rows of the public API's table for swarms and stacks.

use super::{Node, NodeRole, Service, Stack, StackInit, Swarm};
use crate::{
    engine::Engine,
    plan::Plan,
    secret::Secret,
    surface::{Class, ErasedClass},
    units::Data,
};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![swarm().boxed(), node().boxed(), service().boxed(), stack().boxed()]
}

fn swarm() -> Class<Swarm> {
    Class::new()
        .s1("init", ["engine"], |engine: Engine| Swarm::init(&engine))
        .s1("connect", ["engine"], |engine: Engine| Swarm::connect(&engine))
        .s2("unlock", ["engine", "key"], |engine: Engine, key: Secret| Swarm::unlock(&engine, key))
        .m1("join", ["engine"], |s: &Swarm, engine: Engine| s.join(&engine))
        .m1("leave", ["engine"], |s: &Swarm, engine: Engine| s.leave(&engine))
        .m0("inspect", [], Swarm::inspect)
        .m0("update", [], Swarm::update)
        .m0("tokens", [], Swarm::tokens)
        .m1("rotate_token", ["role"], |s: &Swarm, role: NodeRole| s.rotate_token(role))
        .m0("unlock_key", [], Swarm::unlock_key)
        .m0("health", [], Swarm::health)
        .m0("tasks", [], Swarm::tasks)
        .m0("nodes.list", [], |s: &Swarm| s.nodes().list())
        .m1("nodes.get", ["id"], |s: &Swarm, id: String| s.nodes().get(id))
        .m0("services.list", [], |s: &Swarm| s.services().list())
        .m1("services.get", ["name"], |s: &Swarm, name: String| s.services().get(name))
        .m0("secrets.list", [], |s: &Swarm| s.secrets().list())
        .m1("secrets.get", ["name"], |s: &Swarm, name: String| s.secrets().get(name))
        .m2("secrets.create", ["name", "data"], |s: &Swarm, name: String, data: Data| s.secrets().create(name, data))
        .m1("secrets.remove", ["name"], |s: &Swarm, name: String| s.secrets().remove(name))
        .m0("configs.list", [], |s: &Swarm| s.configs().list())
        .m1("configs.get", ["name"], |s: &Swarm, name: String| s.configs().get(name))
        .m2("configs.create", ["name", "data"], |s: &Swarm, name: String, data: Data| s.configs().create(name, data))
        .m1("configs.remove", ["name"], |s: &Swarm, name: String| s.configs().remove(name))
}

fn node() -> Class<Node> {
    Class::new()
        .m0("reload", [], Node::reload)
        .m0("inspect", [], Node::inspect)
        .m0("update", [], Node::update)
        .m0("promote", [], Node::promote)
        .m0("demote", [], Node::demote)
        .m0("drain", [], Node::drain)
        .m0("activate", [], Node::activate)
        .m0("pause", [], Node::pause)
        .m0("tasks", [], Node::tasks)
        .m0("remove", [], Node::remove)
}

fn service() -> Class<Service> {
    Class::new()
        .m0("reload", [], Service::reload)
        .m0("inspect", [], Service::inspect)
        .m1("scale", ["replicas"], |s: &Service, replicas: u64| s.scale(replicas))
        .m0("rollback", [], Service::rollback)
        .m0("tasks", [], Service::tasks)
        .m0("logs", [], Service::logs)
        .m0("remove", [], Service::remove)
}

fn stack() -> Class<Stack> {
    Class::new()
        .constructor::<StackInit>(&["swarm", "project"], Stack::from_init)
        .s1("list", ["swarm"], |swarm: Swarm| Stack::list(&swarm))
        .m0("plan", [], Stack::plan)
        .m1("apply", ["plan"], |s: &Stack, plan: Plan| s.apply(plan))
        .m0("up", [], Stack::up)
        .m0("down", [], Stack::down)
        .m1("wait_until", ["service"], |s: &Stack, service: String| s.wait_until(service))
        .m0("ps", [], Stack::ps)
        .m0("services", [], Stack::services)
        .m0("logs", [], Stack::logs)
}
