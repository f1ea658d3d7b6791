import { createHash } from 'node:crypto';
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { SecretSchema } from '../../core/messages/generated/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';

/** What the companion gives Envoy by SDS, by the names that the control plane's resources and the bootstrap use. */
export const secretNames = {
  /** Our key, chain and staple: what Envoy serves and shows, to the control plane too. */
  identity: 'countersign_identity',
  ticketKeys: 'countersign_ticket_keys',
  /** Whom Envoy takes for the control plane. */
  controlPlane: 'countersign_control_plane',
} as const;

export type SecretName = (typeof secretNames)[keyof typeof secretNames];
export type HeldSecret = { readonly version: string; readonly octets: Uint8Array };

/** How Envoy took a version of a secret. */
export type SecretAnswer = { readonly name: SecretName; readonly version: string; readonly refusal: string | null };

/** The secrets as they are now. A version is a digest of the content: what does not change is not sent again. */
export class HeldSecrets {
  readonly #held = new Map<SecretName, HeldSecret>();
  readonly #watchers = new Set<() => void>();
  readonly #listeners = new Set<(answer: SecretAnswer) => void>();

  /** Returns the version. */
  put(name: SecretName, type: MessageInitShape<typeof SecretSchema>['type']): string {
    const octets = toBinary(SecretSchema, create(SecretSchema, { name, type } as MessageInitShape<typeof SecretSchema>));
    // Cut short: it shows in Envoy's admin, and a digest of something with a key in it is nothing to publish whole.
    const version = createHash('sha256').update(octets).digest('hex').slice(0, VERSION_CHARACTERS);
    if (this.#held.get(name)?.version === version) return version;
    this.#held.set(name, { version, octets });
    for (const tell of this.#watchers) tell();
    return version;
  }

  get(name: string): HeldSecret | null {
    return this.#held.get(name as SecretName) ?? null;
  }

  /** Calls back after each change, until the function returned is called. */
  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  /** Calls back with each answer of an Envoy, until the function returned is called. */
  onAnswer(listener: (answer: SecretAnswer) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  answered(answer: SecretAnswer): void {
    for (const tell of this.#listeners) tell(answer);
  }
}

const VERSION_CHARACTERS = 16;
