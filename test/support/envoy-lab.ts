import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { type ServerDuplexStream, Server, ServerCredentials } from '@grpc/grpc-js';
import type { EnvoyResources } from '../../src/core/envoy/compile-envoy.ts';
import { IDENTITY_SECRET, TICKET_KEYS_SECRET } from '../../src/core/envoy/config-source.ts';
import type { HTTPAccessLogEntry, TCPAccessLogEntry } from '../../src/core/messages/generated/envoy/data/accesslog/v3/accesslog_pb.ts';
import { type Secret, SecretSchema } from '../../src/core/messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { AccessLogService, type StreamAccessLogsMessage } from '../../src/core/messages/generated/envoy/service/accesslog/v3/als_pb.ts';
import {
  AggregatedDiscoveryService,
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '../../src/core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { SecretDiscoveryService } from '../../src/core/messages/generated/envoy/service/secret/v3/sds_pb.ts';
import { encodePem } from '../../src/core/x509/pem.ts';
import { methodDefinition } from '../../src/platform/grpc/method-definition.ts';
import { AdsFeed, type DeltaStream, type Nack } from './ads-feed.ts';
import type { TestCredential } from './test-authority.ts';

/** A reason to leave out the tests that need Envoy, or false. */
export function missingEnvoy(): string | false {
  return existsSync(ENVOY) || process.env['CI'] === 'true' ? false : 'no Envoy here (npm run peers)';
}

export type LogEntry = TCPAccessLogEntry | HTTPAccessLogEntry;

/**
 * A real Envoy, and what it is told: a server of ADS, SDS and access logs on a Unix socket, no more than a test needs to put resources in
 * force and to read what became of them.
 */
export class EnvoyLab implements AsyncDisposable {
  readonly entries: LogEntry[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'countersign-envoy-'));
  readonly #server = new Server();
  readonly #feed = new AdsFeed();
  readonly #secrets = new Map<string, Secret>();
  readonly #secretStreams = new Set<() => void>();
  #envoy: ChildProcess | null = null;
  #stderr = '';

  /** `flags` are of Envoy's command line. */
  static async start(credential: TestCredential, flags: readonly string[] = []): Promise<EnvoyLab> {
    const lab = new EnvoyLab();
    lab.serve(credential);
    await lab.#listen();
    await lab.#spawn(flags);
    return lab;
  }

  /** The certificate that Envoy shows from now on. */
  serve(credential: TestCredential): void {
    const chain = credential.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    const key = credential.key.export({ type: 'pkcs8', format: 'pem' }) as string;
    const value = { certificateChain: inline(chain), privateKey: inline(key) };
    this.#secrets.set(IDENTITY_SECRET, create(SecretSchema, { name: IDENTITY_SECRET, type: { case: 'tlsCertificate', value } }));
    const keys = { keys: [{ specifier: { case: 'inlineBytes' as const, value: TICKET_KEY } }] };
    this.#secrets.set(
      TICKET_KEYS_SECRET,
      create(SecretSchema, { name: TICKET_KEYS_SECRET, type: { case: 'sessionTicketKeys', value: keys } }),
    );
    for (const push of this.#secretStreams) push();
  }

  /** Puts these in force and nothing else; resolves when Envoy has answered for all of them, with what it did not take. */
  async apply(resources: EnvoyResources): Promise<readonly Nack[]> {
    const { clusters, endpoints, secrets, listeners, routes } = resources;
    const nacks = await this.#feed.put([clusters, endpoints, secrets, listeners, routes].flat());
    await this.until(() => this.#isSettled(), 'the worker has all listeners');
    return nacks;
  }

  /** A name in the folder of this Envoy. */
  path(name: string): string {
    return join(this.#folder, name);
  }

  /** What the admin socket answers. */
  admin(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({ socketPath: join(this.#folder, 'admin.sock'), path }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(text));
      });
      request.on('error', reject);
      request.end();
    });
  }

  /** Asks again and again, for a bounded time. */
  async until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error(`Cannot wait any longer until ${what}\n${this.#stderr.slice(-4_000)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const envoy = this.#envoy;
    if (envoy !== null && envoy.exitCode === null && envoy.signalCode === null) {
      const ended = new Promise((resolve) => envoy.once('exit', resolve));
      envoy.kill('SIGKILL');
      await ended;
    }
    this.#server.forceShutdown();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Envoy acknowledges a listener before its worker has it. */
  async #isSettled(): Promise<boolean> {
    const text = await this.admin('/stats?filter=listener_manager');
    const count = (name: string): number => Number(new RegExp(`listener_manager\\.${name}: (\\d+)`).exec(text)?.[1] ?? 0);
    return (
      count('total_listeners_warming') === 0 && count('listener_create_success') >= count('listener_added') + count('listener_modified')
    );
  }

  #listen(): Promise<number> {
    const { deltaAggregatedResources } = AggregatedDiscoveryService.method;
    const { streamSecrets } = SecretDiscoveryService.method;
    const { streamAccessLogs } = AccessLogService.method;
    this.#server.addService(
      {
        delta: methodDefinition(deltaAggregatedResources),
        secrets: methodDefinition(streamSecrets),
        logs: methodDefinition(streamAccessLogs),
      },
      {
        delta: (call: DeltaStream) => this.#feed.attach(call),
        secrets: (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) => this.#sendSecrets(call),
        logs: (call: ServerDuplexStream<StreamAccessLogsMessage, never>) => {
          call.on('data', ({ logEntries }: StreamAccessLogsMessage) => this.entries.push(...(logEntries.value?.logEntry ?? [])));
          call.on('error', () => {});
        },
      } as never,
    );
    return new Promise((resolve, reject) =>
      this.#server.bindAsync(`unix:${join(this.#folder, 'control.sock')}`, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
  }

  #sendSecrets(call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>): void {
    let names: readonly string[] = [];
    let version = 0;
    const push = (): void => {
      const resources = names.flatMap((name) => {
        const secret = this.#secrets.get(name);
        return secret === undefined ? [] : [{ typeUrl: SECRET_TYPE, value: toBinary(SecretSchema, secret) }];
      });
      version += 1;
      call.write(create(DiscoveryResponseSchema, { versionInfo: `${version}`, nonce: `${version}`, typeUrl: SECRET_TYPE, resources }));
    };
    call.on('data', ({ resourceNames, responseNonce }: DiscoveryRequest) => {
      if (responseNonce !== '' && resourceNames.join() === names.join()) return;
      names = resourceNames;
      push();
    });
    this.#secretStreams.add(push);
    call.on('error', () => {});
    call.on('close', () => this.#secretStreams.delete(push));
  }

  async #spawn(flags: readonly string[]): Promise<void> {
    mkdirSync(this.#folder, { recursive: true });
    const config = join(this.#folder, 'bootstrap.json');
    writeFileSync(config, JSON.stringify(bootstrapOf(this.#folder)));
    const args = ['-c', config, '--disable-hot-restart', '--concurrency', '1', '-l', 'warn', ...flags];
    const envoy = spawn(ENVOY, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#envoy = envoy;
    envoy.stderr.setEncoding('utf8');
    envoy.stderr.on('data', (text: string) => (this.#stderr = (this.#stderr + text).slice(-MAXIMUM_KEPT)));
    await this.until(async () => this.#feed.isAttached && (await this.admin('/ready').catch(() => '')).startsWith('LIVE'), 'Envoy is live');
  }
}

function inline(text: string) {
  return { specifier: { case: 'inlineBytes' as const, value: new Uint8Array(Buffer.from(text)) } };
}

function bootstrapOf(folder: string) {
  const ads = {
    api_type: 'DELTA_GRPC',
    transport_api_version: 'V3',
    set_node_on_first_message_only: true,
    grpc_services: [{ envoy_grpc: { cluster_name: 'countersign_control' } }],
  };
  const source = { resource_api_version: 'V3', ads: {} };
  return {
    node: { id: 'lab', cluster: 'lab' },
    admin: { address: { pipe: { path: join(folder, 'admin.sock'), mode: 384 } } },
    // Patterns of paths are longer than Envoy takes by itself.
    layered_runtime: { layers: [{ name: 'countersign', static_layer: { re2: { max_program_size: { error_level: 4_000 } } } }] },
    dynamic_resources: { ads_config: ads, cds_config: source, lds_config: source },
    static_resources: {
      clusters: ['countersign_control', 'countersign_companion'].map((name) => clusterOf(name, join(folder, 'control.sock'))),
    },
  };
}

function clusterOf(name: string, path: string) {
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }] },
    typed_extension_protocol_options: {
      [options]: { '@type': `type.googleapis.com/${options}`, explicit_http_config: { http2_protocol_options: {} } },
    },
  };
}

const ENVOY = join(import.meta.dirname, '../../.test/peers/envoy/bin/envoy');
const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
const TICKET_KEY = new Uint8Array(80).fill(7);
const PATIENCE_MS = 20_000;
const MAXIMUM_KEPT = 100_000;
