//! Pulls and pushes through a real registry with TLS and a password: `DOCKERKIT_LAB_REGISTRY`, `_USER` and `_PASSWORD`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails with its test")]

mod lab;

use dockerkit::{Engine, ErrorKind, engine::RegistryAuth};
use lab::variable;

#[tokio::test]
async fn an_image_goes_to_a_registry_and_comes_back() {
    let (Some(place), Some(user), Some(password)) =
        (variable("DOCKERKIT_LAB_REGISTRY"), variable("DOCKERKIT_LAB_REGISTRY_USER"), variable("DOCKERKIT_LAB_REGISTRY_PASSWORD"))
    else {
        return;
    };
    for engine in ["DOCKERKIT_LAB_ENGINE", "DOCKERKIT_LAB_ENGINE_28"] {
        let (Some(endpoint), Some(image)) = (variable(engine), variable("DOCKERKIT_LAB_IMAGE")) else { continue };
        let engine = Engine::connect(endpoint).await.unwrap();
        let reference = format!("{place}/lab/{}:1", lab::name("busybox"));
        engine.images().tag(&*image, &*reference).await.unwrap();
        let auth = |password: &str| RegistryAuth::default().username(&*user).password(password);

        // The password may hold what the two alphabets of base64 write differently.
        for wrong in ["wrong", "???>>>~~~"] {
            let e = engine.images().push(&*reference).auth(auth(wrong)).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unauthorized, "{e}");
            assert!(!format!("{e:?}").contains(wrong), "{e:?}");
        }
        assert_eq!(engine.images().push(&*reference).await.unwrap_err().kind(), ErrorKind::Unauthorized);
        engine.images().push(&*reference).auth(auth(&password)).await.unwrap();
        let there = engine.images().get(&*reference).await.unwrap().id;
        engine.images().remove(&*reference).await.unwrap();
        assert_eq!(engine.images().pull(&*reference).await.unwrap_err().kind(), ErrorKind::Unauthorized);
        assert_eq!(engine.images().pull(&*reference).auth(auth(&password)).await.unwrap().id, there);
        let missing = format!("{place}/lab/nothing:1");
        assert_eq!(engine.images().pull(&*missing).auth(auth(&password)).await.unwrap_err().kind(), ErrorKind::NotFound);
        engine.images().remove(&*reference).await.unwrap();
    }
}

/// A folder that holds a plugin of no use.
fn plugin_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("rootfs")).unwrap();
    let config = serde_json::json!({
        "Description": "does nothing", "Entrypoint": ["/nothing"], "WorkDir": "/", "Network": {"Type": "host"},
        "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "nothing.sock"},
        "Env": [{"Name": "LEVEL", "Description": "how much", "Value": "1", "Settable": ["value"]}],
        "Linux": {"Capabilities": ["CAP_SYS_ADMIN"], "Devices": null, "AllowAllDevices": false}, "PropagatedMount": "", "Mounts": null,
        "Args": {"Name": "", "Description": "", "Settable": null, "Value": null},
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

#[tokio::test]
async fn a_plugin_goes_to_a_registry_is_installed_and_upgraded() {
    let (Some(place), Some(user), Some(password)) =
        (variable("DOCKERKIT_LAB_REGISTRY"), variable("DOCKERKIT_LAB_REGISTRY_USER"), variable("DOCKERKIT_LAB_REGISTRY_PASSWORD"))
    else {
        return;
    };
    for engine in ["DOCKERKIT_LAB_ENGINE", "DOCKERKIT_LAB_ENGINE_28"] {
        let Some(endpoint) = variable(engine) else { continue };
        let plugins = Engine::connect(endpoint).await.unwrap().plugins();
        let auth = RegistryAuth::default().username(&*user).password(&*password);
        let reference = format!("{place}/lab/{}", lab::name("plugin"));
        let (one, two) = (format!("{reference}:1"), format!("{reference}:2"));
        for version in [&one, &two] {
            plugins.create(&**version, plugin_folder().path()).await.unwrap();
            let wrong = RegistryAuth::default().username(&*user).password("wrong");
            assert_eq!(plugins.push(&**version).auth(wrong).await.unwrap_err().kind(), ErrorKind::Unauthorized);
            plugins.push(&**version).auth(auth.clone()).await.unwrap();
            plugins.remove(&**version).await.unwrap();
        }
        let wants = plugins.privileges(&*one).auth(auth.clone()).await.unwrap();
        assert!(wants.iter().any(|p| p.name == "capabilities" && p.value == ["CAP_SYS_ADMIN"]), "{wants:?}");
        let installed = plugins.install(&*one).auth(auth.clone()).disabled(true).settings(["LEVEL=7"]).await.unwrap();
        let upgraded = plugins.upgrade(&*one, &*two).auth(auth.clone()).await.unwrap();
        assert_eq!((&upgraded.id, upgraded.enabled), (&installed.id, false));
        assert!(upgraded.raw["PluginReference"].as_str().unwrap().ends_with(":2"), "{}", upgraded.raw);
        plugins.remove(&*one).await.unwrap();
    }
}
