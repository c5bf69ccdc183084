//! The front: greets, and passes on what api says.

use std::{env, fs, io::Result};

fn main() -> Result<()> {
    shop::serve(8080, |_| {
        let greeting = fs::read_to_string("/etc/shop/greeting.txt")?;
        let api = shop::get(&env::var("API_URL").unwrap_or_else(|_| "http://api:8081".into()))?;
        Ok(format!("{}\nweb on {}, {api}", greeting.trim(), shop::node()))
    })
}
