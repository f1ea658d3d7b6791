import type { RevokedSet } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Node, ViolationReason } from './peer.ts';

/** The revoked set in memory, for a lookup at each call. */
export type RevokedIndex = {
  /** `revoked` or `suspended`, or null. */
  judge(certificate: Pick<Node, 'issuerKeySha256' | 'serialHex' | 'spiffeId'>): ViolationReason | null;
  /** Reads it again. Of concurrent calls the last read wins. */
  refresh(): Promise<void>;
};

/** Opens the index with what is committed now. */
export async function openRevokedIndex(read: () => Promise<RevokedSet>): Promise<RevokedIndex> {
  let certificates: ReadonlySet<string> = new Set();
  let suspended: ReadonlySet<string> = new Set();
  let started = 0;
  let finished = 0;
  const refresh = async (): Promise<void> => {
    const turn = ++started;
    const set = await read();
    if (turn < finished) return;
    finished = turn;
    certificates = new Set(set.certificates.map(({ issuerKeySha256, serial }) => `${hex(issuerKeySha256)} ${hex(serial)}`));
    suspended = new Set(set.suspendedSpiffeIds);
  };
  await refresh();
  return {
    judge: ({ issuerKeySha256, serialHex, spiffeId }) => {
      if (certificates.has(`${issuerKeySha256} ${serialHex}`)) return 'revoked';
      return suspended.has(spiffeId) ? 'suspended' : null;
    },
    refresh,
  };
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
