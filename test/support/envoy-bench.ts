import { create } from '@bufbuild/protobuf';
import type { EnvoyResources } from '../../src/core/envoy/compile-envoy.ts';
import { compileEnvoy } from '../../src/core/envoy/compile-envoy.ts';
import { subjectMark } from '../../src/core/identity/subject-mark.ts';
import type { SpiffeId } from '../../src/core/identity/spiffe-id.ts';
import {
  type Inbound,
  type Outbound,
  ProxySettingsSchema,
  RevokedSetSchema,
  type TrustBundle,
} from '../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { HOUR_MS } from '../../src/core/time/instant.ts';
import { EnvoyLab } from './envoy-lab.ts';
import { freePort } from './free-port.ts';
import { makeList } from './make-certificate-list.ts';
import { type Origin, ORDERS, ProxyLab, TRUST_DOMAIN } from './proxy-lab.ts';
import type { TestCredential } from './test-authority.ts';

export type Ports = { readonly inbound?: readonly Inbound[]; readonly outbound?: readonly Outbound[] };

/** One Envoy in front of one service, which runs what settings are compiled to. */
export class EnvoyBench implements AsyncDisposable {
  readonly lab: ProxyLab;
  readonly envoy: EnvoyLab;
  readonly origin: Origin;
  /** Free for the endpoint. */
  readonly port: number;
  readonly revoked = new Revocations();
  /** Of other trust domains. */
  federated: readonly TrustBundle[] = [];
  #generation = 0n;

  private constructor(parts: Pick<EnvoyBench, 'lab' | 'envoy' | 'origin' | 'port'>) {
    this.lab = parts.lab;
    this.envoy = parts.envoy;
    this.origin = parts.origin;
    this.port = parts.port;
  }

  static async start(flags?: readonly string[]): Promise<EnvoyBench> {
    const lab = new ProxyLab();
    const [origin, port, envoy] = await Promise.all([lab.origin(), freePort(), EnvoyLab.start(lab.credential, flags)]);
    return new EnvoyBench({ lab, envoy, origin, port });
  }

  compile({ inbound = [], outbound = [] }: Ports): EnvoyResources {
    this.#generation += 1n;
    return compileEnvoy({
      settings: create(ProxySettingsSchema, {
        generation: this.#generation,
        proxyId: 'proxy_01j00000000000000000000000',
        spiffeId: ORDERS,
        trustDomain: TRUST_DOMAIN,
        inbound: [...inbound],
        outbound: [...outbound],
      }),
      trust: [this.lab.bundle(), ...this.federated],
      revoked: this.revoked.wire(this.lab),
      crls: new Map([[this.lab.authority.issuing.spkiSha256, this.#list()]]),
    });
  }

  /** @throws if Envoy does not take something */
  async apply(ports: Ports): Promise<void> {
    const nacks = await this.envoy.apply(this.compile(ports));
    if (nacks.length > 0) throw new Error(`Envoy refused ${JSON.stringify(nacks)}`);
  }

  /** The authority's whole list, as long as it lives. */
  #list(): Uint8Array {
    const { issuing, issuingKey } = this.lab.authority;
    const revoked = this.revoked.serials.map((certificate) => ({ certificate }));
    const times = { thisUpdate: Date.now() - HOUR_MS, nextUpdate: Date.now() + HOUR_MS };
    return makeList({ name: issuing.subject, key: issuingKey }, { revoked, number: Number(this.#generation), ...times }).der;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.envoy[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
  }
}

/** What nobody may accept any more. */
class Revocations {
  readonly credentials: TestCredential[] = [];
  /** Beside them, whatever certificates have these. */
  others: readonly Uint8Array[] = [];
  readonly suspended: SpiffeId[] = [];

  get serials(): readonly { readonly serial: Uint8Array; readonly subject: Uint8Array }[] {
    const held = this.credentials.map(({ certificate: { serial, subjectAltNames } }) => ({
      serial,
      subject: markOf(subjectAltNames?.uri[0]),
    }));
    return [...held, ...this.others.map((serial) => ({ serial, subject: markOf(NOBODY) }))];
  }

  clear(): void {
    this.credentials.length = 0;
    this.others = [];
    this.suspended.length = 0;
  }

  wire({ authority }: ProxyLab) {
    const issuerKeySha256 = Buffer.from(authority.issuing.spkiSha256, 'hex');
    return create(RevokedSetSchema, {
      certificates: this.serials.map(({ serial, subject }) => ({ issuerKeySha256, serial, subject })),
      suspendedSpiffeIds: [...this.suspended],
    });
  }
}

function markOf(spiffeId: string | undefined): Uint8Array {
  return spiffeId === undefined ? new Uint8Array() : subjectMark(spiffeId);
}

const NOBODY = 'spiffe://acme.example/test/nobody';
