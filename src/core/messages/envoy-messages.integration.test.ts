import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import {
  create,
  createFileRegistry,
  type DescField,
  type DescFile,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

describe('our subset of the messages of Envoy', async () => {
  const files = await loadOurs();
  const theirs = loadPublished(files.map(({ name }) => name));
  for (const desc of files.flatMap(({ messages }) => messages.flatMap(withNested))) {
    it(`${desc.typeName} is written and read by the published schema as by ours`, () => {
      const known = theirs.getMessage(desc.typeName);
      if (known === undefined) {
        assert.ok(NEWER.has(desc.typeName), 'unknown to the published schema');
        return;
      }
      for (const field of desc.fields) assertSameField(field, known);
      const octets = toBinary(desc, filled(desc, MAXIMUM_DEPTH).message);
      const read = fromBinary(known, octets);
      assert.deepEqual(read.$unknown ?? [], []);
      assert.deepEqual(fromBinary(desc, toBinary(known, read)), fromBinary(desc, octets));
    });
  }

  it('names nothing as newer that the published schema knows', () => {
    const stale = [...NEWER].filter((name) => {
      const field = name.lastIndexOf('.');
      return theirs.getMessage(name) ?? theirs.getMessage(name.slice(0, field))?.fields.some((one) => one.name === name.slice(field + 1));
    });
    assert.deepEqual(stale, []);
  });
});

async function loadOurs(): Promise<readonly DescFile[]> {
  const folder = join(import.meta.dirname, 'generated');
  const paths = globSync('{envoy,google,xds}/**/*_pb.ts', { cwd: folder });
  const modules = await Promise.all(paths.map((path) => import(join(folder, path)) as Promise<Record<string, unknown>>));
  return modules.flatMap((module) => Object.values(module)).filter((one): one is DescFile => (one as DescFile | null)?.kind === 'file');
}

/** The schema that comes with the package, compiled outside of node_modules, where buf sees no sources. */
function loadPublished(ourNames: readonly string[]): FileRegistry {
  const published = join(dirname(createRequire(import.meta.url).resolve('@grpc/grpc-js-xds/package.json')), 'deps');
  using folder = mkdtempDisposableSync(join(tmpdir(), 'countersign-envoy-api-'));
  for (const path of globSync('**/*.proto', { cwd: published })) {
    mkdirSync(join(folder.path, dirname(path)), { recursive: true });
    // Its rules of fields name some that its own copy of their schema lacks.
    const text = readFileSync(join(published, path), 'utf8')
      .replaceAll(/\/\/[^\n]*/g, '')
      .replaceAll(/\s\[[^;]*?\];/g, ';');
    writeFileSync(join(folder.path, path), text);
  }
  const paths = ourNames.flatMap((name) => globSync(`*/${name}.proto`, { cwd: folder.path }).flatMap((path) => ['--path', path]));
  const config = JSON.stringify({ version: 'v2', modules: ROOTS.map((path) => ({ path })) });
  const buf = join(import.meta.dirname, '../../../node_modules/.bin/buf');
  const built = spawnSync(buf, ['build', '.', '--config', config, '--exclude-source-info', '-o', '-', ...paths], {
    cwd: folder.path,
    maxBuffer: 16 * 1024 * 1024,
  });
  assert.equal(built.status, 0, built.stderr.toString());
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, built.stdout));
}

const withNested = (desc: DescMessage): readonly DescMessage[] => [desc, ...desc.nestedMessages.flatMap(withNested)];

function assertSameField(field: DescField, known: DescMessage): void {
  const name = `${known.typeName}.${field.name}`;
  const other = known.fields.find(({ number }) => number === field.number);
  if (other === undefined) {
    assert.ok(NEWER.has(name), `${name} is unknown to the published schema`);
    return;
  }
  assert.deepEqual(shapeOf(field), shapeOf(other), name);
}

function shapeOf({ name, fieldKind, message, scalar, oneof }: DescField) {
  return { name, fieldKind, scalar, message: message?.typeName, oneof: oneof?.name };
}

/** A message with something in each field that both know. */
function filled(desc: DescMessage, depth: number): ReflectMessage {
  const message = reflect(desc, create(desc));
  for (const field of desc.fields) {
    if (NEWER.has(`${desc.typeName}.${field.name}`)) continue;
    if (field.fieldKind === 'scalar') message.set(field, scalarOf(field.scalar));
    else if (field.fieldKind === 'enum') message.set(field, field.enum.values.at(-1)!.number);
    else if (field.fieldKind === 'message' && depth > 0) message.set(field, filled(field.message, depth - 1));
    else if (field.fieldKind === 'list' && field.listKind === 'scalar') message.get(field).add(scalarOf(field.scalar));
    else if (field.fieldKind === 'list' && field.listKind === 'message' && depth > 0)
      message.get(field).add(filled(field.message, depth - 1));
    else if (field.fieldKind === 'map' && field.mapKind === 'scalar') message.get(field).set('key', scalarOf(field.scalar));
  }
  return message;
}

function scalarOf(scalar: ScalarType): string | bigint | number | boolean | Uint8Array {
  if (scalar === ScalarType.STRING) return 'text';
  if (scalar === ScalarType.BYTES) return Uint8Array.of(1, 2, 3);
  if (scalar === ScalarType.BOOL) return true;
  return scalar === ScalarType.INT64 || scalar === ScalarType.UINT64 ? 7n : 7;
}

/** Deep enough for each kind of field; the messages of RBAC and CEL contain themselves. */
const MAXIMUM_DEPTH = 3;
/** What the copy of the API in @grpc/grpc-js-xds is too old to know, and Envoy 1.40 knows. */
const NEWER = new Set<string>([
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget.budget_interval',
  'envoy.config.core.v3.CelExpressionConfig',
  'envoy.config.rbac.v3.Policy.cel_config',
  'envoy.config.rbac.v3.Principal.custom',
  'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter.cel_config',
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.enable_ja4_fingerprinting',
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.close_connection_on_client_hello_parsing_errors',
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector.max_client_hello_size',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions.flush_access_log_on_start',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.upstream_connect_mode',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.max_early_data_bytes',
  'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.check_drain_close',
  'envoy.extensions.rbac.principals.mtls_authenticated.v3.Config',
  'envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.suppress_client_ca_list',
  'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.prefer_client_ciphers',
  'envoy.extensions.transport_sockets.tls.v3.TlsParameters.compliance_policies',
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.auto_host_sni',
  'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext.auto_sni_san_validation',
  'envoy.type.tracing.v3.CustomTag.value',
]);
const ROOTS = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'];
