/** Container networks without helpers: see {@link Networks}. */
export { Networks } from './networks.ts'
export type * from './types.ts'
