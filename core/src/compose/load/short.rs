//! The short syntaxes, each read into the parts of the long form.

use std::net::IpAddr;

use super::node::{Node, Yaml};

/// What a short volume says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) nocopy: bool,
    pub(crate) propagation: String,
    pub(crate) selinux: String,
    /// A text of one or two characters: a target and nothing else.
    pub(crate) bare: bool,
}

const VOLUME: &str = "a volume such as data:/data:ro or ./folder:/data";

/// `[source:]target[:options]`. A letter before a colon is a drive of Windows.
pub(crate) fn volume_parts(text: &str) -> Result<Volume, &'static str> {
    let mut volume = Volume::default();
    if text.is_empty() {
        return Err(VOLUME);
    }
    if text.len() <= 2 {
        return Ok(Volume { target: text.to_owned(), bare: true, ..volume });
    }
    let mut part = String::new();
    let mut fill = |part: &str, last: bool| {
        if part.is_empty() {
            return Err(VOLUME);
        }
        if volume.source.is_empty() && last {
            volume.target = part.to_owned();
        } else if volume.source.is_empty() {
            volume.source = part.to_owned();
        } else if volume.target.is_empty() {
            volume.target = part.to_owned();
        } else if last {
            for option in part.split(',') {
                match option {
                    "ro" => volume.read_only = true,
                    "rw" => volume.read_only = false,
                    "nocopy" => volume.nocopy = true,
                    "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => volume.propagation = option.to_owned(),
                    "z" | "Z" => volume.selinux = option.to_owned(),
                    _ => {}
                }
            }
        } else {
            return Err(VOLUME);
        }
        Ok(())
    };
    for c in text.chars() {
        let drive = c == ':' && part.chars().count() == 1 && part.chars().all(char::is_alphabetic);
        if c == ':' && !drive {
            fill(&part, false)?;
            part.clear();
        } else {
            part.push(c);
        }
    }
    fill(&part, true)?;
    Ok(volume)
}

/// Whether a source is a path on the host.
pub(crate) fn is_path(source: &str) -> bool {
    let mut chars = source.chars();
    match (chars.next(), chars.next()) {
        (Some('.' | '/' | '~'), _) => true,
        (Some('\\'), Some('\\')) => true,
        (Some(c), Some(':')) => c.is_alphabetic(),
        _ => false,
    }
}

/// A short volume in long form.
pub(super) fn volume(node: &Node, text: &str) -> Result<Node, String> {
    let volume = volume_parts(text)?;
    let place = &node.place;
    let value = |t: &str| Node::text(t, place).of(node);
    let flag = |on: bool| Node::new(Yaml::Bool(on), place);
    let bind = is_path(&volume.source);
    let mut out = vec![("type", Node::text(if bind { "bind" } else { "volume" }, place))];
    if !volume.source.is_empty() {
        out.push(("source", value(&volume.source)));
    }
    out.push(("target", value(&clean(&volume.target))));
    if volume.read_only {
        out.push(("read_only", flag(true)));
    }
    let mut options = Vec::new();
    if !volume.propagation.is_empty() {
        options.push(("propagation", value(&volume.propagation)));
    }
    if !volume.selinux.is_empty() {
        options.push(("selinux", value(&volume.selinux)));
    }
    if bind {
        options.push(("create_host_path", flag(true)));
    }
    if bind || !options.is_empty() {
        out.push(("bind", Node::map(options, place)));
    }
    if volume.nocopy {
        out.push(("volume", Node::map([("nocopy", flag(true))], place)));
    } else if !bind && !volume.bare {
        out.push(("volume", Node::map([], place)));
    }
    Ok(Node::map(out, place).of(node))
}

/// A path as Go's `path.Clean` makes it.
pub(crate) fn clean(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => drop(parts.pop()),
            ".." if rooted => {}
            p => parts.push(p),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// A published port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) ip: String,
    pub(crate) published: String,
    pub(crate) target: u16,
    pub(crate) protocol: String,
}

const PORT: &str = "a port such as 8080:80, 127.0.0.1:8080:80/tcp or 3000-3005";

/// `[[ip:]published:]target[/protocol]`, with ranges, in the order that docker compose gives them.
pub(crate) fn port_parts(text: &str) -> Result<Vec<Port>, String> {
    let wrong = || PORT.to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let (ip, published, target) = match parts.as_slice() {
        [target] => (String::new(), "", *target),
        [published, target] => (String::new(), *published, *target),
        [ip @ .., published, target] => (ip.join(":"), *published, *target),
        [] => return Err(wrong()),
    };
    let (target, protocol) = match target.split('/').collect::<Vec<_>>().as_slice() {
        [port] | [port, "", ..] => (*port, "tcp".to_owned()),
        [port, protocol, ..] => (*port, protocol.to_ascii_lowercase()),
        [] => return Err(wrong()),
    };
    let ip = match ip.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?.to_owned(),
        None if ip.contains(':') => return Err(wrong()),
        None => ip,
    };
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        return Err(format!("{PORT}, with an address that is one"));
    }
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("{PORT}, with tcp, udp or sctp"));
    }
    let number = |t: &str| t.parse::<u16>().ok().filter(|_| t.bytes().all(|b| b.is_ascii_digit()));
    let range = |t: &str| -> Option<(u16, u16)> {
        let mut ends = t.split('-');
        let first = number(ends.next()?)?;
        let last = ends.next().map_or(Some(first), number)?;
        (first <= last).then_some((first, last))
    };
    let (first, last) = range(target).ok_or_else(wrong)?;
    let host = if published.is_empty() { None } else { Some(range(published).ok_or_else(wrong)?) };
    if host.is_some_and(|(a, b)| first != last && b - a != last - first) {
        return Err(format!("{PORT}, with ranges of one length"));
    }
    let mut out: Vec<Port> = (first..=last)
        .map(|target| {
            let published = match host {
                Some((a, b)) if first == last && a != b => format!("{a}-{b}"),
                Some((a, _)) => (u32::from(a) + u32::from(target - first)).to_string(),
                None => String::new(),
            };
            Port { ip: ip.clone(), published, target, protocol: protocol.clone() }
        })
        .collect();
    out.sort_by_key(|p| format!("{}/{}", p.target, p.protocol));
    Ok(out)
}

/// A short port in long form; ranges become several.
pub(super) fn ports(node: &Node, text: &str) -> Result<Vec<Node>, String> {
    let place = &node.place;
    let long = |p: Port| {
        let mut out = vec![("mode", Node::text("ingress", place))];
        if !p.ip.is_empty() {
            out.push(("host_ip", Node::text(p.ip, place).of(node)));
        }
        if p.target > 0 {
            out.push(("target", Node::new(Yaml::Int(p.target.into()), place)));
        }
        if !p.published.is_empty() {
            out.push(("published", Node::text(p.published, place).of(node)));
        }
        out.push(("protocol", Node::text(p.protocol, place)));
        Node::map(out, place).of(node)
    };
    Ok(port_parts(text)?.into_iter().map(long).collect())
}

/// `source[:target[:permissions]]` in long form.
pub(super) fn device(node: &Node, text: &str) -> Result<Node, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, "", "rwm"),
        [source, target] => (*source, *target, "rwm"),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => return Err("a device such as /dev/sda:/dev/sda:rwm".to_owned()),
    };
    let target = if target.is_empty() { source } else { target };
    let value = |t: &str| Node::text(t, &node.place).of(node);
    Ok(Node::map([("source", value(source)), ("target", value(target)), ("permissions", value(permissions))], &node.place))
}

/// Words as docker compose splits a command: quotes and backslashes as in a shell, and nothing after a `;`, `&`, `|`, `<`
/// or `>`.
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut there = false;
    let (mut escaped, mut double, mut single, mut back, mut dollar) = (false, false, false, false, false);
    for c in line.chars() {
        if escaped {
            word.push(c);
            escaped = false;
            there = true;
            continue;
        }
        if c == '\\' && !single {
            escaped = true;
            continue;
        }
        if c == '\\' {
            word.push(c);
            continue;
        }
        if matches!(c, ' ' | '\t' | '\r' | '\n') {
            if single || double || back || dollar {
                word.push(c);
            } else if there {
                words.push(std::mem::take(&mut word));
                there = false;
            }
            continue;
        }
        match c {
            '`' if !single && !double && !dollar => back = !back,
            ')' if !single && !double && !back => dollar = !dollar,
            '(' if !single && !double && !back => {
                if dollar || !word.ends_with('$') {
                    return None;
                }
                dollar = true;
                word.push('(');
                continue;
            }
            '"' if !single && !dollar => {
                there |= double;
                double = !double;
                continue;
            }
            '\'' if !double && !dollar => {
                there |= single;
                single = !single;
                continue;
            }
            ';' | '&' | '|' | '<' | '>' if !(single || double || back || dollar) => {
                // A number right before a `>` names a stream, and is no word.
                if c == '>' && word.starts_with(|c: char| c.is_ascii_digit()) {
                    there = false;
                }
                break;
            }
            _ => {}
        }
        there = true;
        word.push(c);
    }
    if there {
        words.push(word);
    }
    if escaped || single || double || back || dollar { None } else { Some(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> String {
        match port_parts(text) {
            Ok(ports) => ports.iter().map(|p| format!("{}|{}|{}|{}", p.ip, p.published, p.target, p.protocol)).collect::<Vec<_>>().join(" "),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn ports_in_every_form() {
        assert_eq!(port("8080:80"), "|8080|80|tcp");
        assert_eq!(port("127.0.0.1::80/udp"), "127.0.0.1||80|udp");
        assert_eq!(port("[::1]:1-2:3-4"), "::1|1|3|tcp ::1|2|4|tcp");
        assert_eq!(port("8000-8001:80"), "|8000-8001|80|tcp");
        assert_eq!(port("9999-10000"), "||10000|tcp ||9999|tcp");
        for wrong in ["", "x", "1-2:3-9", "80/ftp", "9.9:80:80", "::1:80:80", "65536", "+80"] {
            assert!(port(wrong).starts_with("error"), "{wrong}");
        }
    }

    #[test]
    fn volumes_in_every_form() {
        let parts = |t: &str| volume_parts(t).map(|v| format!("{}|{}|{}", v.source, v.target, v.read_only)).unwrap_or_else(|_| "error".to_owned());
        assert_eq!(parts("/x"), "|/x|false");
        assert_eq!(parts("data:/x:ro"), "data|/x|true");
        assert_eq!(parts("v:/v"), "|v:/v|false");
        assert_eq!(parts("C:/a:/x:ro"), "C:/a|/x|true");
        assert_eq!(parts("aa:bb:cc:dd"), "error");
        assert_eq!(parts(":/x"), "error");
    }

    #[test]
    fn words_of_commands() {
        let split = |t: &str| words(t).map(|w| w.join("|"));
        assert_eq!(split("a 'b c' \"d\" e\\ f"), Some("a|b c|d|e f".to_owned()));
        assert_eq!(split("echo x && y"), Some("echo|x".to_owned()));
        assert_eq!(split("a '' b"), Some("a||b".to_owned()));
        assert_eq!(split("a 2>x"), Some("a".to_owned()));
        assert_eq!(split("a 'b"), None);
        assert_eq!(split("a (b)"), None);
    }

    #[test]
    fn clean_paths() {
        for (path, expected) in [("/x//y/./z/..", "/x/y"), ("", "."), ("../a/..", ".."), ("/..", "/"), ("a/..", "."), ("C:\\x", "C:\\x")] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
