/** What a program that embeds the engine imports. */
export * from './errors.ts'
