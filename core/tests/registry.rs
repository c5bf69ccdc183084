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
