//! The rows of the public API's table for Compose.

use serde_json::{Map, Value};

use super::{App, AppInit, Project, project::Files};
use crate::{
    engine::{Command, Engine},
    plan::Plan,
    surface::{Class, ErasedClass},
};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![
        Class::<Project>::new()
            .s1("load", ["files"], |files: Option<Files>| Project::load(files.unwrap_or_default()))
            .s1("parse", ["text"], |text: String| Project::parse(text))
            .m0("config", [], Project::config)
            .m0("to_json", [], Project::to_json)
            .m0("to_yaml", [], Project::to_yaml)
            .m2("set", ["path", "value"], |p: &Project, path: String, value: Value| p.set(path, value))
            .m1("remove", ["path"], |p: &Project, path: String| p.remove(path))
            .m2("with_service", ["name", "definition"], |p: &Project, name: String, definition: Map<String, Value>| p.with_service(name, definition))
            .m0("hashes", [], Project::hashes)
            .boxed(),
        Class::<App>::new()
            .constructor::<AppInit>(&["engine", "project"], App::from_init)
            .s1("list", ["engine"], |engine: Engine| App::list(&engine))
            .m0("plan", [], App::plan)
            .m1("apply", ["plan"], |a: &App, plan: Plan| a.apply(plan))
            .m0("up", [], App::up)
            .m0("down", [], App::down)
            .m1("wait_until", ["service"], |a: &App, service: String| a.wait_until(service))
            .m0("ps", [], App::ps)
            .m0("logs", [], App::logs)
            .m0("start", [], App::start)
            .m0("stop", [], App::stop)
            .m0("restart", [], App::restart)
            .m0("kill", [], App::kill)
            .m0("pause", [], App::pause)
            .m0("unpause", [], App::unpause)
            .m2("exec", ["service", "command"], |a: &App, service: String, command: Command| a.exec(service, command))
            .m0("build", [], App::build)
            .boxed(),
    ]
}
