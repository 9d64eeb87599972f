package crm

const RememberedBytes = rememberedBytes
