"""What becomes of messages when brokers, processes and networks fail: counted on a real RabbitMQ, under load."""
