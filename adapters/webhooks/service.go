package webhooks

const resendPrefix = "resend-"
