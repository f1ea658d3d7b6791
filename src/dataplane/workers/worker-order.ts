import type { ClientCertificate } from '../../platform/keystore/client-certificates.ts';
import type { KeysByEndpoint } from '../tls/seen-keys.ts';
import type { SharedUse } from '../tls/shared-use.ts';

/**
 * What worker processes are told and answer, over the channel that they were made with. Messages of the control plane go on as the
 * octets that came; a private key goes this way alone, never by argument, environment or disk.
 */
export type WorkerOrder =
  | {
      readonly kind: 'begin';
      readonly index: number;
      readonly identity: Uint8Array;
      /** What third parties were seen to have so far. */
      readonly seen: KeysByEndpoint;
      /** A Unix socket cannot be shared, so one worker has all of them. */
      readonly takesUnixPorts: boolean;
      /** Descriptors of sockets that the proxy was given, by address. */
      readonly inherited: ReadonlyMap<string, number>;
      /** Descriptors of those that nothing names any more since the process was made. */
      readonly unwanted: readonly number[];
    }
  | WorkerChange
  | { readonly kind: 'report' }
  | { readonly kind: 'stop'; readonly withinMs: number };

/** What is put in force; the latest of each kind is what a worker that starts anew begins with. */
export type WorkerChange =
  | { readonly kind: 'identity' | 'ticket-keys' | 'trust' | 'federated' | 'revoked' | 'staple'; readonly octets: Uint8Array }
  | { readonly kind: 'client-certificates'; readonly held: readonly ClientCertificate[] }
  | { readonly kind: 'anchors'; readonly ders: readonly Uint8Array[] | null }
  | { readonly kind: 'settings'; readonly octets: Uint8Array; readonly isLastGood: boolean };

export type WorkerAnswer =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** To `report` and `stop`: a TelemetryReport. */
  | { readonly kind: 'report'; readonly octets: Uint8Array };

/** An order has a number, by which its answer is known; what the others used of shared limits is heard and not answered. */
export type ToWorker = NumberedOrder | UseMessage;
export type NumberedOrder = WorkerOrder & { readonly id: number };
export type UseMessage = { readonly kind: 'use'; readonly use: SharedUse };

/** `ready` comes once, before any order. */
export type FromWorker =
  | { readonly kind: 'ready' }
  /** A third party has other keys than before. It answers nothing. */
  | { readonly kind: 'seen'; readonly endpointId: string; readonly keys: ReadonlySet<string> }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: WorkerAnswer }
  | UseMessage;
