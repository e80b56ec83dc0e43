//! The URLs of a Redis store: what each says, how it prints, and why one is refused.

use bellwire::config::store::Topology;

use super::store::{problem, redis, shown, with_url};
use super::{TICKET, by_file};

const HOST: &str = "each host must be a name, an IPv4 address or an IPv6 address in brackets, then an optional :port";
const PORT: &str = "a port must be a number from 1 to 65535";
const DATABASE: &str = "the database after the / must be a number from 0 to 65535";
const MASTER: &str = "redis-sentinel:// needs the master's name after the hosts, of letters, digits, . - and _";
const ENCODING: &str = "in the user and password, : / ? # @ and % must be written as %3A %2F %3F %23 %40 and %25";
const PARAMETER: &str = "the only ? parameter is tls=true or tls=false";

#[test]
fn a_url_of_redis_prints_with_all_that_it_left_out_but_the_password() {
    for (url, printed) in [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://localhost/", "redis://localhost:6379/0"),
        ("redis://127.0.0.1:7000/15", "redis://127.0.0.1:7000/15"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("redis://[2001:db8::7]:7000/3", "redis://[2001:db8::7]:7000/3"),
        ("redis://:hidden@my_redis.local", "redis://my_redis.local:6379/0"),
        ("rediss://bellwire:hidden@redis.example.com", "rediss://bellwire@redis.example.com:6379/0"),
        ("rediss://b%C3%ABll%40wire:hidden@redis", "rediss://b%C3%ABll%40wire@redis:6379/0"),
        ("redis-sentinel://a/mymaster", "redis-sentinel://a:26379/mymaster/0"),
        ("redis-sentinel://a/my.master-1_x/2?tls=false", "redis-sentinel://a:26379/my.master-1_x/2"),
        (
            "redis-sentinel://bellwire:hidden@a,[::1],c:26380/mymaster/2?tls=true",
            "redis-sentinel://bellwire@a:26379,[::1]:26379,c:26380/mymaster/2?tls=true",
        ),
        ("redis-cluster://a", "redis-cluster://a:6379"),
        ("redis-cluster://:hidden@a:1,b:65535,[::1]:2/?tls=true", "redis-cluster://a:1,b:65535,[::1]:2?tls=true"),
    ] {
        assert_eq!(redis(url, "").to_string(), printed, "{url}");
        let beside = if printed.contains('@') { "password = \"p\"" } else { "" };
        assert_eq!(redis(printed, beside).to_string(), printed, "it is read again as what it was");
    }
}

#[test]
fn a_url_says_hosts_tls_database_and_topology() {
    let one = redis("rediss://bellwire:secret@[::1]:7000/3", "");
    assert_eq!((one.nodes[0].host.as_str(), one.nodes[0].port), ("::1", 7000));
    assert_eq!((one.nodes.len(), one.tls, one.database, one.topology), (1, true, 3, Topology::Single));
    assert_eq!((one.username.as_deref(), shown(one.password.as_ref())), (Some("bellwire"), Some("secret")));
    assert_eq!((one.key_prefix.as_str(), one.ca_file), ("bw", None));

    let cluster = redis("redis-cluster://:secret@a,b:7000", "");
    let nodes: Vec<_> = cluster.nodes.iter().map(|node| (node.host.as_str(), node.port)).collect();
    assert_eq!(nodes, [("a", 6379), ("b", 7000)]);
    assert_eq!((cluster.tls, cluster.database, cluster.topology), (false, 0, Topology::Cluster));
    assert_eq!((cluster.username, shown(cluster.password.as_ref())), (None, Some("secret")));

    let sentinel = redis("redis-sentinel://a,b/main/2?tls=true", "");
    assert_eq!((sentinel.nodes.len(), sentinel.tls, sentinel.database), (2, true, 2));
    let topology = Topology::Sentinel { master: "main".to_owned(), username: None, password: None };
    assert_eq!(sentinel.topology, topology);
}

#[test]
fn user_and_password_are_percent_decoded() {
    let redis = redis("redis://us%2fer%25:%3A%2F%3F%23%40%25:%C3%A9!$&'()*+,;=@localhost", "");
    assert_eq!(redis.username.as_deref(), Some("us/er%"));
    assert_eq!(shown(redis.password.as_ref()), Some(":/?#@%:é!$&'()*+,;="));
}

#[test]
fn a_url_of_redis_that_is_wrong_is_refused_by_what_is_wrong() {
    let one = "redis:// and rediss:// name one host; redis-sentinel:// and redis-cluster:// name several";
    let no_parameter = "redis:// and rediss:// take no ? parameters; TLS is rediss://";
    let empty = "the user or password before the @ is empty";
    let no_database = "redis-cluster:// has no database, since a cluster has only one";
    for (url, why) in [
        ("redis://", HOST),
        ("redis://:6379", HOST),
        ("redis:///0", HOST),
        ("redis://::1", HOST),
        ("redis://[::1", HOST),
        ("redis://[::1]6379", HOST),
        ("redis://[localhost]", HOST),
        ("redis://[fe80::1%eth0]", HOST),
        ("redis://local host", HOST),
        ("redis://höst", HOST),
        ("redis-cluster://a,,b", HOST),
        ("redis-cluster://a,", HOST),
        ("redis-sentinel:///main", HOST),
        ("redis://a:", PORT),
        ("redis://a:0", PORT),
        ("redis://a:65536", PORT),
        ("redis://a:+1", PORT),
        ("redis://a:port", PORT),
        ("redis-cluster://a:1,b:0", PORT),
        ("redis://a/one", DATABASE),
        ("redis://a/-1", DATABASE),
        ("redis://a/+1", DATABASE),
        ("redis://a/65536", DATABASE),
        ("redis://a/0/1", DATABASE),
        ("redis://a/0#top", DATABASE),
        ("redis-sentinel://a/main/one", DATABASE),
        ("redis-sentinel://a/main/1/2", DATABASE),
        ("redis-sentinel://a", MASTER),
        ("redis-sentinel://a//1", MASTER),
        ("redis-sentinel://a/my master", MASTER),
        ("redis-cluster://a/0", no_database),
        ("redis://a,b", one),
        ("redis://a?tls=true", no_parameter),
        ("rediss://a?", no_parameter),
        ("redis-cluster://a?", PARAMETER),
        ("redis-cluster://a?tls", PARAMETER),
        ("redis-cluster://a?tls=1", PARAMETER),
        ("redis-cluster://a?tls=true&db=1", PARAMETER),
        ("redis-sentinel://a/main?master=main", PARAMETER),
        ("redis://@a", empty),
        ("redis://:@a", empty),
        ("redis://user:@a", empty),
        ("redis://user:pass%2@a", ENCODING),
        ("redis://user:pass%@a", ENCODING),
        ("redis://user:pass%xy@a", ENCODING),
        ("redis://user:pass%ff@a", ENCODING),
        ("redis://user:%é@a", ENCODING),
    ] {
        assert_eq!(problem(url, ""), format!("store.url: {why}"), "{url}");
    }
    let another = "store.url: expected \"embedded:\" and the path of a file, such as \"embedded:data/bellwire.redb\", \
                   or a URL that begins with redis://, rediss://, redis-sentinel:// or redis-cluster://";
    for url in ["embedded:", "redis:a", "Redis://a", "redis+unix:///run/redis", "http://a", "localhost:6379"] {
        assert_eq!(problem(url, ""), another, "{url}");
    }
}

#[test]
fn no_part_of_a_password_is_shown_by_an_error() {
    let wrong = [
        "redis://user:hidden",
        "redis://user:hid/den@a",
        "redis://user:hid?den@a",
        "redis://user:hid#den@a",
        "redis://user:hid@den@a",
        "redis://user:hid%den@a",
        "redis://user:1/den@a/0",
        "redis://user:1/2?den@a",
        "redis://user:hidden@a:0",
        "redis://user:hidden@a/hidden",
        "redis://hidden@a",
        "redis-sentinel://user:1/den@a/main",
        "redis-sentinel://user:hidden@a?password=hidden",
        "redis-cluster://user:hidden@a,b?password=hidden",
        "redis-cluster://user:hidden@a/hidden",
        "redis+tls://user:hidden@a",
        "redis:user:hidden@a",
    ];
    for url in wrong {
        let error = by_file(&with_url(url), &[TICKET]).expect_err(url);
        let told = format!("{error} {error:?}");
        assert!(!told.contains("hid") && !told.contains("den@"), "{url}\n{told}");
    }
    let beside = [
        ("redis://a", "username = \"u\"\npassword = [\"hidden\"]"),
        ("redis://a", "password = { hidden = 1 }"),
        ("redis://a", "password_file = [\"hidden\"]"),
        ("redis://:hidden@a", "password = \"hidden\""),
        ("redis://a", "password = \"hidden\"\npassword_file = \"p\""),
        ("redis://a", "sentinel_password = \"hidden\""),
        ("redis-sentinel://a/m", "sentinel_password = [\"hidden\"]"),
        ("embedded:a", "password = \"hidden\""),
    ];
    for (url, keys) in beside {
        let error = by_file(&(with_url(url) + keys), &[TICKET]).expect_err(url);
        assert!(!format!("{error} {error:?}").contains("hidden"), "{url}\n{keys}\n{error}");
    }
}
