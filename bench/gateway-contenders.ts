import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import type { EntityId } from '../src/core/ids/entity-id.ts';
import { parseSpiffeId } from '../src/core/identity/spiffe-id.ts';
import {
  BundleAuthority_Role,
  Mode,
  Protocol,
  ProxySettingsSchema,
  RevokedSetSchema,
  TrustBundleSchema,
} from '../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { PROXY_NODE_OPTIONS } from '../src/dataplane/proxy/node-options.ts';
import { openStateDirectory } from '../src/platform/keystore/state-directory.ts';
import { envoy } from './envoy-gateway.ts';
import { CALLER, type Gateway, inPeers, onPath, SERVICE } from './gateway-setup.ts';

/** The proxy as `countersign proxy` runs it from its last good settings: every check of enforcement, and its counts taken each second. */
const countersign: Gateway = {
  name: 'countersign',
  program: process.execPath,
  async prepare({ folder, port, originPort, authority, server }, command) {
    const state = await openStateDirectory(join(folder, 'state'));
    const proxyId: EntityId<'proxy'> = 'proxy_01j00000000000000000000000';
    const { chain, key: privateKey } = server;
    const controlPlane = parseSpiffeId('spiffe://bench.example/bench/countersign/control-plane');
    await state.writeIdentity({
      proxyId,
      spiffeId: SERVICE,
      controlPlane,
      privateKey,
      chain,
      roots: [authority.root.der],
      renewalEpoch: null,
    });
    const authorities = [
      { role: BundleAuthority_Role.ROOT, certificate: authority.root.der },
      { role: BundleAuthority_Role.ISSUING, certificate: authority.issuing.der },
    ];
    await state.writeTrustBundle(create(TrustBundleSchema, { trustDomain: 'bench.example', sequence: 1n, authorities }));
    const revoked = Array.from({ length: REVOKED }, (_, index) => ({
      issuerKeySha256: Buffer.from(authority.issuing.spkiSha256, 'hex'),
      serial: Buffer.from(`7f${index.toString(16).padStart(30, '0')}`, 'hex'),
    }));
    await state.writeRevokedSet(create(RevokedSetSchema, { sequence: 1n, certificates: revoked }));
    const inbound = {
      endpointId: 'endpoint_01j00000000000000000000000',
      endpointName: 'orders',
      listen: loopback(port),
      upstream: loopback(originPort),
      protocol: Protocol.HTTP,
      anonymousMode: Mode.ENFORCE,
      strangerMode: Mode.ENFORCE,
      callers: [{ pathId: 'path_01j00000000000000000000000', spiffeId: CALLER, mode: Mode.ENFORCE }],
    };
    await state.writeSettings(
      create(ProxySettingsSchema, {
        generation: 1n,
        proxyId,
        spiffeId: SERVICE,
        trustDomain: 'bench.example',
        inbound: [inbound],
        telemetryIntervalMs: 1_000,
      }),
    );
    const cli = join(import.meta.dirname, '../src/cli/main.ts');
    // Nobody listens there: it serves on without its control plane, as it must.
    const args = [
      '--disable-warning=ExperimentalWarning',
      ...PROXY_NODE_OPTIONS,
      ...extraNodeArguments(),
      cli,
      'proxy',
      '--workers',
      // More than one is another comparison than that with one worker each.
      process.env['COUNTERSIGN_BENCH_WORKERS'] ?? '1',
      '--state',
      state.path,
      '--control',
      '127.0.0.1:1',
    ];
    return { command, args };
  },
};

const nginx: Gateway = {
  name: 'nginx',
  program: onPath('nginx'),
  async prepare({ folder, port, originPort, certFile, keyFile, rootFile }, command) {
    const file = join(folder, 'nginx.conf');
    await writeFile(
      file,
      `daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid ${folder}/pid; error_log ${folder}/error.log crit;
events { worker_connections 12000; }
http {
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p;
  fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl backlog=4096; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
    ssl_certificate ${certFile}; ssl_certificate_key ${keyFile};
    ssl_verify_client on; ssl_verify_depth 3; ssl_client_certificate ${rootFile};
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-Client-Cert $ssl_client_fingerprint; proxy_set_header Client-Cert $ssl_client_escaped_cert;
    }
  }
}
`,
    );
    return { command, args: ['-c', file, '-p', folder, '-e', join(folder, 'error.log')] };
  },
};

const haproxy: Gateway = {
  name: 'haproxy',
  program: onPath('haproxy'),
  async prepare({ folder, port, originPort, bothFile, rootFile }, command) {
    const file = join(folder, 'haproxy.cfg');
    await writeFile(
      file,
      `global
  nbthread 1
  maxconn 9950
  ssl-default-bind-curves X25519
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend gateway
  bind 127.0.0.1:${port} backlog 4096 ssl crt ${bothFile} ca-file ${rootFile} verify required ssl-min-ver TLSv1.3 alpn http/1.1
  http-request set-header X-Forwarded-Client-Cert %[ssl_c_sha1,hex]
  http-request set-header Client-Cert %[ssl_c_der,base64]
  default_backend origin
backend origin
  http-reuse always
  server origin 127.0.0.1:${originPort}
`,
    );
    return { command, args: ['-f', file, '-db'] };
  },
};

const caddy: Gateway = {
  name: 'caddy',
  program: inPeers('caddy', 'caddy') ?? onPath('caddy'),
  async prepare({ folder, port, originPort, certFile, keyFile, rootFile }, command) {
    const file = join(folder, 'Caddyfile');
    await writeFile(
      file,
      `{
  admin off
  auto_https off
  servers {
    protocols h1
    timeouts {
      idle 10m
    }
  }
}
https://gateway.bench.example:${port} {
  bind 127.0.0.1
  tls ${certFile} ${keyFile} {
    protocols tls1.3
    curves x25519
    client_auth {
      mode require_and_verify
      trust_pool file ${rootFile}
    }
  }
  reverse_proxy 127.0.0.1:${originPort} {
    header_up X-Forwarded-Client-Cert {http.request.tls.client.fingerprint}
    header_up Client-Cert {http.request.tls.client.certificate_der_base64}
  }
}
`,
    );
    return {
      command,
      args: ['run', '--config', file, '--adapter', 'caddyfile'],
      env: { GOMAXPROCS: '1', HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    };
  },
};

function loopback(port: number) {
  return { address: { case: 'internet' as const, value: { ip: '127.0.0.1', port } } };
}

export const gateways: readonly Gateway[] = [countersign, nginx, haproxy, caddy, envoy];

/** For a profile of the proxy alone: COUNTERSIGN_BENCH_NODE="--cpu-prof". */
function extraNodeArguments(): string[] {
  return (process.env['COUNTERSIGN_BENCH_NODE'] ?? '').split(' ').filter((argument) => argument !== '');
}

const REVOKED = 10_000;
