import type { OcspStaple } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { StateDirectory } from '../../platform/keystore/state-directory.ts';

/** Staples again what was stapled before a restart, as far as it still fits the certificate and the time; the control plane may be away. */
export async function restoreStaple(plane: { applyStaple(staple: OcspStaple): Promise<unknown> }, state: StateDirectory): Promise<void> {
  const staple = await state.readStaple();
  // One that ended meanwhile, or is of an earlier certificate, is refused, and the log says so.
  if (staple !== null) await plane.applyStaple(staple);
}
