//! Runs the steps of a plan: each as soon as those before it are done, so many at a time.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    error::{Error, Result},
    plan::Step,
};

/// Runs `work(i)` for every step, never before the steps named in its `after`.
///
/// After the first failure no new step begins; those that run are waited for, and the first error is returned.
pub(crate) async fn execute<F, Fut>(steps: &[Step], parallel: usize, work: F) -> Result<()>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let mut waiting: BTreeSet<usize> = (0..steps.len()).collect();
    let mut done = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut failed: Option<Error> = None;
    loop {
        if failed.is_none() {
            let ready: Vec<usize> = waiting
                .iter()
                .copied()
                .filter(|i| steps.get(*i).is_some_and(|s| s.after.iter().all(|a| done.contains(a))))
                .take(parallel.max(1).saturating_sub(running.len()))
                .collect();
            for i in ready {
                waiting.remove(&i);
                let step = work(i);
                running.push(async move { (i, step.await) });
            }
        }
        match running.next().await {
            Some((i, Ok(()))) => {
                done.insert(i);
            }
            Some((_, Err(e))) => {
                failed.get_or_insert(e);
            }
            None => break,
        }
    }
    match failed {
        Some(e) => Err(e),
        None if waiting.is_empty() => Ok(()),
        None => Err(Error::internal("the steps of a plan wait for each other")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::ErrorKind;

    fn step(after: &[usize]) -> Step {
        Step { after: after.to_vec(), ..Step::default() }
    }

    #[tokio::test]
    async fn order_is_kept_and_failure_stops() {
        let seen = Mutex::new(Vec::new());
        let steps = [step(&[1]), step(&[]), step(&[0])];
        let run = execute(&steps, 4, |i| {
            let seen = &seen;
            async move {
                if let Ok(mut s) = seen.lock() {
                    s.push(i);
                }
                if i == 0 { Err(Error::not_found("x")) } else { Ok(()) }
            }
        })
        .await;
        assert_eq!(run.map_err(|e| e.kind()), Err(ErrorKind::NotFound));
        assert_eq!(seen.into_inner().unwrap_or_default(), [1, 0]);
    }

    #[tokio::test]
    async fn a_cycle_is_an_error_and_not_a_hang() {
        let steps = [step(&[1]), step(&[0])];
        assert!(execute(&steps, 4, |_| async { Ok(()) }).await.is_err());
    }
}
