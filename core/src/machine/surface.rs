//! The rows of the public API's table for machines.

use super::{DriverSpec, Machine, MachineSpec, Machines, MachinesInit};
use crate::{
    engine::Command,
    surface::{Class, ErasedClass},
};

pub(crate) fn classes() -> Vec<Box<dyn ErasedClass>> {
    vec![machines().boxed(), machine().boxed()]
}

fn machines() -> Class<Machines> {
    Class::new()
        .constructor::<MachinesInit>(&["path"], Machines::from_init)
        .m2("plan", ["name", "driver"], |m: &Machines, name: String, driver: DriverSpec| m.plan(name, driver))
        .m2("create", ["name", "driver"], |m: &Machines, name: String, driver: DriverSpec| m.create(name, driver))
        .m1("create_all", ["machines"], |m: &Machines, machines: Vec<MachineSpec>| m.create_all(machines))
        .m2("adopt", ["name", "endpoint"], |m: &Machines, name: String, endpoint: String| m.adopt(name, endpoint))
        .m0("list", [], Machines::list)
        .m1("get", ["name"], |m: &Machines, name: String| m.get(name))
}

fn machine() -> Class<Machine> {
    Class::new()
        .m0("state", [], Machine::state)
        .m0("ip", [], Machine::ip)
        .m0("inspect", [], Machine::inspect)
        .m0("env", [], Machine::env)
        .m0("engine", [], Machine::engine)
        .m1("ssh", ["command"], |m: &Machine, command: Command| m.ssh(command))
        .m2("copy_to", ["path", "target"], |m: &Machine, path: std::path::PathBuf, target: String| m.copy_to(path, target))
        .m2("copy_from", ["path", "target"], |m: &Machine, path: String, target: std::path::PathBuf| m.copy_from(path, target))
        .m0("start", [], Machine::start)
        .m0("stop", [], Machine::stop)
        .m0("restart", [], Machine::restart)
        .m0("kill", [], Machine::kill)
        .m0("remove", [], Machine::remove)
}
