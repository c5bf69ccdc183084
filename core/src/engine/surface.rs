//! The rows of the public API's table for the engine.

use super::{Command, Container, Engine, Session};
use crate::{
    surface::{Class, ErasedClass},
    units::Data,
};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![engine().boxed(), container().boxed(), session().boxed()]
}

fn engine() -> Class<Engine> {
    Class::new()
        .s1("connect", ["endpoint"], |endpoint: Option<String>| Engine::connect(endpoint.unwrap_or_default()))
        .m0("ping", [], Engine::ping)
        .m0("version", [], Engine::version)
        .m0("info", [], Engine::info)
        .m0("disk_usage", [], Engine::disk_usage)
        .m0("login", [], Engine::login)
        .m0("events", [], Engine::events)
        .m2("request", ["method", "path"], |e: &Engine, method: String, path: String| e.request(method, path))
        .m0("containers.list", [], |e: &Engine| e.containers().list())
        .m1("containers.get", ["id"], |e: &Engine, id: String| e.containers().get(id))
        .m2("containers.create", ["image", "command"], |e: &Engine, image: String, command: Command| e.containers().create(image, command))
        .m2("containers.run", ["image", "command"], |e: &Engine, image: String, command: Command| e.containers().run(image, command))
        .m2("containers.run_output", ["image", "command"], |e: &Engine, image: String, command: Command| e.containers().run_output(image, command))
        .m0("containers.prune", [], |e: &Engine| e.containers().prune())
        .m0("images.list", [], |e: &Engine| e.images().list())
        .m1("images.get", ["reference"], |e: &Engine, reference: String| e.images().get(reference))
        .m1("images.pull", ["reference"], |e: &Engine, reference: String| e.images().pull(reference))
        .m1("images.push", ["reference"], |e: &Engine, reference: String| e.images().push(reference))
        .m1("images.build", ["context"], |e: &Engine, context: std::path::PathBuf| e.images().build(context))
        .m2("images.tag", ["reference", "name"], |e: &Engine, reference: String, name: String| e.images().tag(reference, name))
        .m1("images.remove", ["reference"], |e: &Engine, reference: String| e.images().remove(reference))
        .m1("images.save", ["references"], |e: &Engine, references: Vec<String>| e.images().save(references))
        .m0("images.load", [], |e: &Engine| e.images().load())
        .m1("images.import_", ["tag"], |e: &Engine, tag: String| e.images().import(tag))
        .m1("images.history", ["reference"], |e: &Engine, reference: String| e.images().history(reference))
        .m0("images.prune", [], |e: &Engine| e.images().prune())
        .m0("networks.list", [], |e: &Engine| e.networks().list())
        .m1("networks.get", ["name"], |e: &Engine, name: String| e.networks().get(name))
        .m1("networks.create", ["name"], |e: &Engine, name: String| e.networks().create(name))
        .m1("networks.remove", ["name"], |e: &Engine, name: String| e.networks().remove(name))
        .m2("networks.connect", ["name", "container"], |e: &Engine, name: String, container: String| e.networks().connect(name, container))
        .m2("networks.disconnect", ["name", "container"], |e: &Engine, name: String, container: String| e.networks().disconnect(name, container))
        .m0("networks.prune", [], |e: &Engine| e.networks().prune())
        .m0("volumes.list", [], |e: &Engine| e.volumes().list())
        .m1("volumes.get", ["name"], |e: &Engine, name: String| e.volumes().get(name))
        .m1("volumes.create", ["name"], |e: &Engine, name: Option<String>| e.volumes().create(name.unwrap_or_default()))
        .m1("volumes.remove", ["name"], |e: &Engine, name: String| e.volumes().remove(name))
        .m0("volumes.prune", [], |e: &Engine| e.volumes().prune())
}

fn container() -> Class<Container> {
    Class::new()
        .m0("reload", [], Container::reload)
        .m0("inspect", [], Container::inspect)
        .m0("start", [], Container::start)
        .m0("stop", [], Container::stop)
        .m0("restart", [], Container::restart)
        .m0("kill", [], Container::kill)
        .m0("pause", [], Container::pause)
        .m0("unpause", [], Container::unpause)
        .m1("rename", ["name"], |c: &Container, name: String| c.rename(name))
        .m0("remove", [], Container::remove)
        .m0("wait", [], Container::wait)
        .m0("logs", [], Container::logs)
        .m0("top", [], Container::top)
        .m0("diff", [], Container::diff)
        .m0("update", [], Container::update)
        .m0("commit", [], Container::commit)
        .m1("exec", ["command"], |c: &Container, command: Command| c.exec(command))
        .m1("exec_session", ["command"], |c: &Container, command: Command| c.exec_session(command))
        .m0("attach", [], Container::attach)
        .m1("put_archive", ["path"], |c: &Container, path: String| c.put_archive(path))
        .m1("get_archive", ["path"], |c: &Container, path: String| c.get_archive(path))
        .m2("copy_to", ["path", "target"], |c: &Container, path: std::path::PathBuf, target: String| c.copy_to(path, target))
        .m2("copy_from", ["path", "target"], |c: &Container, path: String, target: std::path::PathBuf| c.copy_from(path, target))
}

fn session() -> Class<Session> {
    Class::new()
        .m1("write", ["data"], |s: &Session, data: Data| s.write(data))
        .m0("close_stdin", [], Session::close_stdin)
        .m0("read", [], Session::read)
        .m2("resize", ["columns", "rows"], |s: &Session, columns: u16, rows: u16| s.resize(columns, rows))
        .m0("wait", [], Session::wait)
}
