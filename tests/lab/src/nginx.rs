//! nginx on a host: the service that the addresses lead to, answering with the host's name.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::network::Host;
use crate::process::Process;
use crate::wait;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    broken: PathBuf,
}

impl Nginx {
    /// Starts nginx on `host`, port 80, and waits until it answers. `/` says the host's name, `/healthz` says
    /// `ok`.
    pub fn start(host: &Host) -> Self {
        let directory = host.directory().join("nginx");
        fs::create_dir_all(&directory).expect("make nginx's directory");
        let broken = directory.join("broken");
        if broken.exists() {
            fs::remove_file(&broken).expect("mend nginx");
        }
        let text = TEMPLATE.replace("HOST", host.name()).replace("DIRECTORY", &directory.to_string_lossy());
        fs::write(directory.join("nginx.conf"), text).expect("write nginx.conf");
        let path = directory.to_string_lossy();
        let error = directory.join("error.log");
        let process = host.spawn(
            "nginx",
            "nginx",
            &["-p", &path, "-e", &error.to_string_lossy(), "-c", "nginx.conf"],
            &[],
        );
        let port = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        wait::until(&format!("nginx on {} answers", host.name()), Duration::from_secs(10), || {
            host.inside(|| TcpStream::connect_timeout(&port, Duration::from_millis(100))).ok()
        });
        Self { process, broken }
    }

    /// Makes `/healthz` answer 502 from now on, while `/` is served as before.
    pub fn break_health(&self) {
        fs::write(&self.broken, "").expect("break nginx");
    }

    /// Makes `/healthz` answer 200 again.
    pub fn mend_health(&self) {
        fs::remove_file(&self.broken).expect("mend nginx");
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Everything nginx writes stays in its directory.
const TEMPLATE: &str = "user root;
daemon off;
worker_processes 1;
pid DIRECTORY/nginx.pid;
error_log DIRECTORY/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  client_body_temp_path DIRECTORY/body;
  proxy_temp_path DIRECTORY/proxy;
  fastcgi_temp_path DIRECTORY/fastcgi;
  uwsgi_temp_path DIRECTORY/uwsgi;
  scgi_temp_path DIRECTORY/scgi;
  server {
    listen 80 backlog=4096;
    listen [::]:80 backlog=4096;
    location = /healthz {
      if (-f DIRECTORY/broken) { return 502; }
      return 200 \"ok\\n\";
    }
    location / { return 200 \"HOST\\n\"; }
  }
}
";
