import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { createHash } from 'node:crypto';
import { trustDomainOf } from '../../core/identity/spiffe-id.ts';
import { DataSourceSchema } from '../../core/messages/generated/envoy/config/core/v3/base_pb.ts';
import {
  CertificateValidationContextSchema,
  TlsCertificateSchema,
} from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/common_pb.ts';
import { type Secret, SecretSchema } from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import { DiscoveryResponseSchema } from '../../core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';
import { SecretDiscoveryService } from '../../core/messages/generated/envoy/service/secret/v3/sds_pb.ts';
import { SECRET_TYPE } from '../../core/messages/type-urls.ts';
import { encodePem } from '../../core/x509/pem.ts';
import type { Identity } from '../data-plane/peer.ts';
import { type RpcMethod, streamMethod, unaryMethod } from '../data-plane/rpc-method.ts';
import { Violation } from '../data-plane/violation.ts';
import { deltaDialect } from './delta-stream.ts';
import { type DiscoveryOptions, DiscoveryStream } from './discovery-stream.ts';
import { encodeResource, type EncodedResource } from './encoded-resource.ts';
import { type DeliveredKey, HeldIdentitySecret, type KeyDelivery } from './held-identity-secret.ts';
import type { ResourceSource } from './resource-source.ts';
import { SotwDialect } from './sotw-stream.ts';
import type { Changes } from './sources.ts';

export type SecretDeps = KeyDelivery & {
  /** Roots, and the list of each issuing authority; DER. */
  readonly readTrust: () => Promise<{ readonly roots: readonly Uint8Array[]; readonly crls: readonly Uint8Array[] }>;
  readonly authoritiesChanged: Changes;
};

/**
 * Secrets for Envoys that others configure, by the names that users of SPIRE know: the SPIFFE ID or `default` for the own certificate with its key, the
 * trust domain's ID or `ROOTCA` for whom to trust. Who asks is who the client certificate says.
 */
export function secretMethods(deps: SecretDeps): readonly RpcMethod[] {
  const { deltaSecrets, streamSecrets, fetchSecrets } = SecretDiscoveryService.method;
  return [
    streamMethod(
      deltaSecrets,
      'workload',
      (stream, { identity }) => new DiscoveryStream(stream, identity, deltaDialect, optionsFor(identity, deps)),
    ),
    streamMethod(
      streamSecrets,
      'workload',
      (stream, { identity }) => new DiscoveryStream(stream, identity, new SotwDialect(), optionsFor(identity, deps)),
    ),
    unaryMethod(fetchSecrets, 'workload', async ({ resourceNames }, { identity }) => {
      for (const name of resourceNames)
        if (forbids(identity, name) !== null) throw new Violation('foreign-resource', JSON.stringify(name.slice(0, 100)));
      using held = new HeldIdentitySecret(identity, deps, () => {});
      const secrets = await secretsOf(identity, resourceNames, { deps, held });
      const versionInfo = versionOf(secrets.map(({ octets }) => octets));
      const resources = secrets.map(({ secret }) => anyPack(SecretSchema, secret));
      return create(DiscoveryResponseSchema, { typeUrl: SECRET_TYPE, versionInfo, resources });
    }),
  ];
}

function optionsFor(identity: Identity, deps: SecretDeps): DiscoveryOptions<Identity> {
  return {
    sources: [secretSource(identity, deps)],
    log: deps.log,
    recordAcknowledgement: async ({ name, version, refusal }) => {
      if (refusal !== undefined) deps.log('warn', 'sds.secret-refused', { spiffeId: identity.spiffeId, name, version, refusal });
    },
  };
}

function secretSource(identity: Identity, deps: SecretDeps): ResourceSource<Identity> {
  const listeners = new Set<(names: readonly string[] | null) => void>();
  const held = new HeldIdentitySecret(identity, deps, () => listeners.forEach((listener) => listener(null)));
  return {
    typeUrl: SECRET_TYPE,
    maximumPerResponse: 1,
    forbids,
    async read(_holder, names) {
      const wanted = names ?? [OWN_NAME, TRUST_NAME];
      return (await secretsOf(identity, wanted, { deps, held })).map(({ name, version, octets }): EncodedResource =>
        encodeResource(SECRET_TYPE, name, version, octets),
      );
    },
    subscribe(listener) {
      listeners.add(listener);
      const authorities = deps.authoritiesChanged.subscribe(() => listener(null));
      return {
        [Symbol.dispose]() {
          authorities[Symbol.dispose]();
          listeners.delete(listener);
          held[Symbol.dispose]();
        },
      };
    },
  };
}

/** Nobody asks for the key of another, not even to learn that there is none. */
function forbids({ spiffeId }: Identity, name: string): 'foreign-resource' | null {
  const isForeign = name.startsWith('spiffe://') && name !== spiffeId && name !== trustNameOf(spiffeId);
  return isForeign ? 'foreign-resource' : null;
}

type NamedSecret = { readonly name: string; readonly version: string; readonly octets: Uint8Array; readonly secret: Secret };

async function secretsOf(
  identity: Identity,
  names: readonly string[],
  { deps, held }: { readonly deps: SecretDeps; readonly held: HeldIdentitySecret },
): Promise<readonly NamedSecret[]> {
  const found: NamedSecret[] = [];
  for (const name of new Set(names)) {
    if (name === OWN_NAME || name === identity.spiffeId) {
      const key = await held.read();
      // Not a digest of what holds a key: versions stand in logs.
      if (key !== null) found.push(named(keySecret(name, key), key.serialHex));
    } else if (name === TRUST_NAME || name === trustNameOf(identity.spiffeId)) found.push(named(await trustSecret(name, deps), null));
  }
  return found;
}

function named(secret: Secret, version: string | null): NamedSecret {
  const octets = toBinary(SecretSchema, secret);
  return { name: secret.name, version: version ?? versionOf([octets]), octets, secret };
}

function versionOf(octets: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const one of octets) hash.update(one);
  return hash.digest('hex').slice(0, DIGEST_CHARACTERS);
}

function keySecret(name: string, { chainPem, keyPem }: DeliveredKey): Secret {
  const value = create(TlsCertificateSchema, { certificateChain: inline(chainPem), privateKey: inline(keyPem) });
  return create(SecretSchema, { name, type: { case: 'tlsCertificate', value } });
}

async function trustSecret(name: string, { readTrust }: SecretDeps): Promise<Secret> {
  const { roots, crls } = await readTrust();
  const value = create(CertificateValidationContextSchema, {
    trustedCa: inline(roots.map((der) => encodePem('CERTIFICATE', der)).join('')),
    ...(crls.length === 0 ? {} : { crl: inline(crls.map((der) => encodePem('X509 CRL', der)).join('')), onlyVerifyLeafCertCrl: true }),
  });
  return create(SecretSchema, { name, type: { case: 'validationContext', value } });
}

function inline(text: string) {
  return create(DataSourceSchema, { specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(text, 'latin1')) } });
}

function trustNameOf(spiffeId: Identity['spiffeId']): string {
  return `spiffe://${trustDomainOf(spiffeId)}`;
}

/** As in SPIRE's agent. */
const OWN_NAME = 'default';
const TRUST_NAME = 'ROOTCA';
const DIGEST_CHARACTERS = 32;
