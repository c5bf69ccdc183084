//! The middle: asks store, showing the secret that both know.

use std::{env, fs, io::Result};

fn main() -> Result<()> {
    shop::serve(8081, |_| {
        let token = fs::read_to_string("/run/secrets/token")?;
        let store = env::var("STORE_URL").unwrap_or_else(|_| "http://store:8082".into());
        Ok(format!("api on {}, {}", shop::node(), shop::get(&format!("{store}/{}", token.trim()))?))
    })
}
