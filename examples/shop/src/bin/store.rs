//! The back: counts visits in a file on its volume, for those who know the secret.

use std::{
    fs,
    io::{Error, Result},
};

fn main() -> Result<()> {
    shop::serve(8082, |path| {
        if path.trim_start_matches('/') != fs::read_to_string("/run/secrets/token")?.trim() {
            return Err(Error::other("store: wrong token"));
        }
        let visits = fs::read_to_string("/data/visits").ok().and_then(|v| v.trim().parse::<u64>().ok()).unwrap_or(0) + 1;
        fs::write("/data/visits", visits.to_string())?;
        Ok(format!("store on {}, visit {visits}\n", shop::node()))
    })
}
